//! `publish` and `subscribe`: one line an event, and an exit code for each way to fail.

use crate::bed::Bed;

/// A subscriber that leaves after one event, and a publisher that goes on until it has.
#[test]
fn what_is_published_is_printed() {
    let bed = Bed::start();
    let rows: [(&[&str], &str); 3] = [
        (&["subscribe", "orders.>", "--count", "1"], "orders.new.eu  {\"id\":1.50}  (shop)\n"),
        (
            &["subscribe", "orders.*.eu", "--count", "1", "--json"],
            "{\"topic\":\"orders.new.eu\",\"from\":\"shop\",\"data\":{\"id\":1.50}}\n",
        ),
        (&["subscribe", ">", "--group", "g", "--count", "1"], "orders.new.eu  {\"id\":1.50}  (shop)\n"),
    ];
    for (arguments, printed) in rows {
        std::thread::scope(|scope| {
            let subscriber = scope.spawn(|| bed.run(arguments));
            while !subscriber.is_finished() {
                bed.run(&["publish", "orders.new.eu", "{\"id\": 1.50}", "--name", "shop"]).printed("published\n");
            }
            subscriber.join().unwrap().printed(printed);
        });
    }
}

#[test]
fn each_way_to_fail_has_its_exit_code() {
    let bed = Bed::start();
    bed.run(&["publish", "t", "1", "--json"]).printed("{\"published\":true}\n");
    bed.run_with(&["publish", "t", "-"], "[1,\n 2]\n").printed("published\n");
    bed.run(&["publish", "orders.>", "1"]).failed(2, "a topic is 1 to 255 bytes");
    bed.run(&["publish", "t", "{x"]).failed(2, "the data is not JSON");
    bed.run(&["subscribe", "a..b"]).failed(2, "a pattern is 1 to 255 bytes");
    bed.run(&["publish", "t", "1", "--to", "99"]).failed(4, "client 99 is not here");
    bed.run(&["publish", "$events.x", "1"]).failed(6, "belong to the broker");
}
