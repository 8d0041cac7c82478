//! Where a broker may be started, and where it keeps its data.

use super::error::Error;
use crate::peers::is_loopback;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where to listen, or why nothing is started there.
pub(super) async fn listen_at(address: &str) -> Result<SocketAddr, String> {
    let found = tokio::net::lookup_host(address).await;
    let found: Vec<SocketAddr> = found.map_err(|error| format!("{error}; an address is host:port"))?.collect();
    let shown = address.escape_debug();
    if let Some(far) = found.iter().find(|at| !is_loopback(at.ip())) {
        return Err(format!(
            "{shown} ({far}) can be reached from other machines; start an answerback-server there, or give a loopback \
             address such as 127.0.0.1:7040"
        ));
    }
    // `localhost` is often both; all processes have to choose the same.
    let first = found.iter().find(|at| at.is_ipv4()).or(found.first());
    let at = *first.ok_or_else(|| format!("{shown} is nowhere; an address is host:port"))?;
    if at.port() == 0 {
        return Err(format!("{shown} is a free port, which nobody else would find; give a port"));
    }
    Ok(at)
}

/// A folder for each address below the user's folder for state: `$XDG_STATE_HOME/answerback/just-there/127.0.0.1_7040`, or the same below `~/.local/state`.
pub(super) fn data_dir(listen: SocketAddr, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Error> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    let name = listen.to_string().replace(['[', ']'], "").replace(':', "_");
    Ok(state.ok_or(Error::NoPlace)?.join("answerback/just-there").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_loopback_addresses_are_ours_to_take() {
        assert_eq!(listen_at("127.0.0.1:7040").await.unwrap().to_string(), "127.0.0.1:7040");
        assert!(is_loopback(listen_at("localhost:7040").await.unwrap().ip()));
        for (address, word) in
            [("10.0.0.1:7040", "other machines"), ("0.0.0.0:7040", "other machines"), ("127.0.0.1:0", "free port")]
        {
            let why = listen_at(address).await.unwrap_err();
            assert!(why.contains(word), "{why}");
        }
        assert!(listen_at("127.0.0.1").await.unwrap_err().contains("host:port"));
    }

    #[test]
    fn each_address_has_its_folder() {
        let given = |wanted: &'static str, path: &'static str| move |name: &str| (name == wanted).then(|| path.into());
        let four = "127.0.0.1:7040".parse().unwrap();
        let folder = data_dir(four, given("HOME", "/home/ada")).unwrap();
        assert_eq!(folder.to_str(), Some("/home/ada/.local/state/answerback/just-there/127.0.0.1_7040"));
        let six = "[::1]:7040".parse().unwrap();
        let folder = data_dir(six, given("XDG_STATE_HOME", "/state")).unwrap();
        assert_eq!(folder.to_str(), Some("/state/answerback/just-there/__1_7040"));
        assert!(matches!(data_dir(four, given("HOME", "relative")), Err(Error::NoPlace)));
    }
}
