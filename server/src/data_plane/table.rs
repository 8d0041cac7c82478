//! The open connections, by place. A place is used again after its connection has gone; the id tells the users apart.

use super::connection::Connection;
use answerback_broker::ConnectionId;

/// This data plane's number, in the id of each of its connections. There is one so far.
const THREAD: u8 = 0;

/// Connections by place.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    turn: u32,
    connection: Option<Connection>,
}

impl Table {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// A place for a new connection, and its id. The place counts as used until it is removed.
    pub(super) fn reserve(&mut self) -> ConnectionId {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        ConnectionId::new(THREAD, place, self.slots[place as usize].turn)
    }

    /// Puts a connection into its reserved place.
    pub(super) fn fill(&mut self, id: ConnectionId, connection: Connection) {
        self.slots[id.place()].connection = Some(connection);
    }

    /// Frees a place.
    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let slot = self.slots.get_mut(id.place()).filter(|slot| slot.turn == id.turn())?;
        slot.turn = slot.turn.wrapping_add(1);
        self.free.push(id.place() as u32);
        slot.connection.take()
    }

    /// The connection with this id, if it is still there.
    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slots.get_mut(id.place()).filter(|slot| slot.turn == id.turn())?.connection.as_mut()
    }

    /// The connection that is at a place now.
    pub(super) fn at_mut(&mut self, place: usize) -> Option<(ConnectionId, &mut Connection)> {
        let slot = self.slots.get_mut(place)?;
        Some((ConnectionId::new(THREAD, place as u32, slot.turn), slot.connection.as_mut()?))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.slots.iter().enumerate().filter_map(|(place, slot)| {
            Some((ConnectionId::new(THREAD, place as u32, slot.turn), slot.connection.as_ref()?))
        })
    }

    /// All ids.
    pub(super) fn ids(&self) -> Vec<ConnectionId> {
        self.iter().map(|(id, _)| id).collect()
    }
}
