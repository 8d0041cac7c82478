//! Clients that a balancer would like to be rid of, because it is to end or has too many: they are asked to go elsewhere, as by a server that leaves.
//! A connection that the balancer closed instead would take calls with it of which nobody can say whether they ran.

use super::DataPlane;
use answerback_broker::Input;
use std::collections::HashSet;

impl DataPlane {
    /// Has the core tell those of whom balancers have said so.
    pub(super) fn move_clients(&mut self) {
        let clients: HashSet<_> = self.porch.take_moves().into_iter().collect();
        if clients.is_empty() {
            return;
        }
        for connection in self.sockets.of_clients(&clients) {
            self.broker.handle(self.now, Input::Moves { connection });
            self.carry_out();
        }
    }
}
