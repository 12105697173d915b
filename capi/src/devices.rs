//! The devices of the program: which ones it sees, in which order, and the session on each.
//!
//! Promises:
//! - a GPU agent is a device that the tenant may use and that `ROCR_VISIBLE_DEVICES` names, in the broker's order or in that of the list;
//! - a device without a session (the tenant has all it may have, the broker is full) is left out, with a line on standard error, and takes none of the
//!   others away. Where only one can be had and there is no list, the broker chooses it;
//! - signals are those of the first session, and every device has them. Memory has one address; which devices see it besides its own is said by
//!   `hsa_amd_agents_allow_access`.
//!
//! What cannot be had: a card chooses addresses and keeps its memory to itself, so it is the only one that its program sees. Without a list it is the
//! broker's choice.

use client::{Client, ClientError, ConnectError, DeviceFacts, DeviceName, Mirror, Object, ShareId};
use hsa_sys::raw::{HSA_STATUS_ERROR_OUT_OF_RESOURCES, hsa_status_t};

use crate::edge::Answer;
use crate::runtime::failed;

/// Which devices to show: indices or unique names, as AMD's library reads it.
const VISIBLE: &str = "ROCR_VISIBLE_DEVICES";

/// The sessions of the program, by the number of their agent among the GPUs.
pub(crate) struct Devices {
    /// One for each agent, or one for host memory alone where there is none.
    sessions: Vec<Client>,
    /// What the broker calls the device of each agent.
    names: Vec<u32>,
}

/// Why a device is left out.
enum LeftOut {
    /// There is no session on it.
    NoSession(ConnectError),
    /// It, or the one that is there already, is a card.
    Card,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LeftOut::NoSession(error) => error.fmt(f),
            LeftOut::Card => write!(f, "a card is the only device that its program sees; name one in {VISIBLE}"),
        }
    }
}

impl Devices {
    /// Begins a session on every device that is to be seen.
    pub(crate) fn open() -> Answer<Devices> {
        Devices::connect().map_err(|error| {
            eprintln!("wavegate: no session at {}: {error}", client::environment::socket().display());
            HSA_STATUS_ERROR_OUT_OF_RESOURCES
        })
    }

    fn connect() -> Result<Devices, ConnectError> {
        let known = Client::devices_from_environment()?;
        let list = std::env::var(VISIBLE).ok();
        let wanted: Vec<DeviceName> = match &list {
            Some(list) => {
                let uuids: Vec<String> = known.iter().map(|device| uuid(device.uuid)).collect();
                visible(list, &uuids).into_iter().map(|at| known[at]).collect()
            }
            None => known,
        };
        let Some(&first) = wanted.first() else {
            return Ok(Devices { sessions: vec![Client::from_environment()?], names: Vec::new() });
        };
        let mut opened: Vec<(DeviceName, Client)> = Vec::new();
        if list.is_none() {
            let client = Client::from_environment()?;
            let chosen = wanted.iter().find(|name| name.uuid == client.device().uuid);
            opened.push((*chosen.unwrap_or(&first), client));
        }
        let mut left_out = None;
        for name in &wanted {
            if opened.iter().all(|(other, _)| other != name) {
                match beside(&opened, *name) {
                    Ok(client) => opened.push((*name, client)),
                    Err(why) => drop(left_out.get_or_insert((*name, why))),
                }
            }
        }
        match left_out {
            Some((_, LeftOut::NoSession(error))) if opened.is_empty() => return Err(error),
            // Nobody has asked for more than one.
            Some((_, LeftOut::Card)) if list.is_none() => {}
            Some((name, why)) => {
                let (left, all) = (wanted.len() - opened.len(), wanted.len());
                eprintln!("wavegate: {left} of {all} devices left out, {} because: {why}", uuid(name.uuid));
            }
            None => {}
        }
        opened.sort_by_key(|(name, _)| wanted.iter().position(|other| other == name));
        let (names, sessions): (Vec<DeviceName>, Vec<Client>) = opened.into_iter().unzip();
        if let [first, others @ ..] = &sessions[..]
            && let Err(error) = first.join(others)
        {
            // Sessions that have just begun have neither signals nor company.
            debug_assert!(false, "{error}");
        }
        Ok(Devices { sessions, names: names.into_iter().map(|name| name.index).collect() })
    }

    /// Returns how many GPU agents there are.
    pub(crate) fn agents(&self) -> usize {
        self.names.len()
    }

    /// Returns the session of an agent.
    pub(crate) fn session(&self, device: usize) -> &Client {
        // PANIC: there is one at least, and numbers of agents were checked when they came in.
        &self.sessions[device]
    }

    /// Returns the session with host memory and signals.
    pub(crate) fn first(&self) -> &Client {
        self.session(0)
    }

    /// Returns all sessions, each with its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Client)> {
        self.sessions.iter().enumerate()
    }

    pub(crate) fn facts(&self, device: usize) -> &DeviceFacts {
        self.session(device).device()
    }

    /// Returns the session that an address belongs to, where programs choose addresses.
    pub(crate) fn owner(&self, address: u64) -> Option<&Client> {
        self.sessions.iter().find(|session| session.owns(address))
    }

    /// Returns what the broker, and every other program, calls the device of an agent.
    pub(crate) fn name(&self, device: usize) -> Option<u32> {
        self.names.get(device).copied()
    }

    /// Returns the agent of a device that the broker calls so.
    pub(crate) fn by_name(&self, name: u32) -> Option<usize> {
        self.names.iter().position(|other| *other == name)
    }

    /// Lets kernels of a device see memory of another one's session. `None`: the session there is over.
    pub(crate) fn mirror(&self, device: usize, share: ShareId, (address, bytes): (u64, u64)) -> Answer<Option<Mirror>> {
        unless_over(self.session(device).mirror(share, address, bytes))
    }

    /// Ends all sessions in order.
    pub(crate) fn goodbye(&self) {
        self.sessions.iter().for_each(Client::goodbye);
    }
}

/// Begins one more session.
fn beside(opened: &[(DeviceName, Client)], name: DeviceName) -> Result<Client, LeftOut> {
    if opened.iter().any(|(_, client)| client.device_chooses_addresses()) {
        return Err(LeftOut::Card);
    }
    let client = Client::from_environment_on(name.index).map_err(LeftOut::NoSession)?;
    if client.device_chooses_addresses() && !opened.is_empty() { Err(LeftOut::Card) } else { Ok(client) }
}

/// Turns what a session answers into nothing if it is over: no kernel is left there to miss it.
pub(crate) fn unless_over<T>(answer: Result<T, ClientError>) -> Answer<Option<T>> {
    match answer {
        Ok(done) => Ok(Some(done)),
        Err(ClientError::Ended(_)) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Memory without an address of its own, as the sessions of the program have it.
pub(crate) struct Objects {
    /// Where it was made, or joined first.
    made: (usize, Object),
    /// By what others get it, if it came from another process.
    share: Option<ShareId>,
    /// Other processes may have been told of it.
    told: bool,
    others: Vec<(usize, Object)>,
}

impl Objects {
    /// Of memory that the session of a device has made, or joined by a name.
    pub(crate) fn new(device: usize, object: Object, share: Option<ShareId>) -> Objects {
        Objects { made: (device, object), share, told: false, others: Vec::new() }
    }

    /// Returns it as it was made.
    pub(crate) fn made(&self) -> &Object {
        &self.made.1
    }

    /// Offers it to other processes of the tenant for as long as it is there.
    pub(crate) fn tell(&mut self) -> Answer<ShareId> {
        self.told = true;
        self.made.1.export().map_err(failed)
    }

    /// Returns it as the session of a device has it, which joins it when it is first asked for.
    pub(crate) fn of(&mut self, devices: &Devices, device: usize) -> Result<&Object, hsa_status_t> {
        if device == self.made.0 {
            return Ok(&self.made.1);
        }
        let at = match self.others.iter().position(|(other, _)| *other == device) {
            Some(at) => at,
            None => {
                let share = self.share.map_or_else(|| self.made.1.export(), Ok).map_err(failed)?;
                let object = devices.session(device).import_object(share, self.made.1.bytes()).map_err(failed);
                // A tenant may offer so much at a time, so nothing is offered for longer than need be.
                if self.share.is_none() && !self.told {
                    self.made.1.withdraw().map_err(failed)?;
                }
                let object = object?;
                self.others.push((device, object));
                self.others.len() - 1
            }
        };
        Ok(&self.others[at].1)
    }
}

/// Returns a device's unique name as AMD's library writes it.
pub(crate) fn uuid(number: u64) -> String {
    format!("GPU-{number:016x}")
}

/// Returns which devices are on a list of `ROCR_VISIBLE_DEVICES`, in its order. As in AMD's library the list ends at the first entry that names none, more than one,
/// or one that was named before.
fn visible(list: &str, uuids: &[String]) -> Vec<usize> {
    let mut seen = Vec::new();
    for entry in list.split(',').map(str::trim) {
        match named(entry, uuids).filter(|at| !seen.contains(at)) {
            Some(at) => seen.push(at),
            None => break,
        }
    }
    seen
}

fn named(entry: &str, uuids: &[String]) -> Option<usize> {
    if let Ok(index) = entry.parse::<usize>() {
        return (index < uuids.len()).then_some(index);
    }
    // A unique name may be cut, as long as it still says that it is one, and which.
    let entry = Some(entry.to_ascii_lowercase()).filter(|entry| entry.len() > "GPU-".len())?;
    let mut found = uuids.iter().enumerate().filter(|(_, uuid)| uuid.to_ascii_lowercase().starts_with(&entry));
    let first = found.next()?.0;
    found.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_visible_devices_is_read_as_amd_reads_it() {
        let uuids = ["GPU-00ab12cd34ef5678", "GPU-00ac000000000000", "GPU-ff00000000000001"].map(str::to_owned);
        for (list, seen) in [
            ("0", &[0][..]),
            (" 2 ", &[2]),
            ("2,0", &[2, 0]),
            ("0,1,2", &[0, 1, 2]),
            ("1,7,0", &[1]),
            ("0,0,1", &[0]),
            ("3", &[]),
            ("", &[]),
            ("-1", &[]),
            ("0,-1,1", &[0]),
            ("GPU-00ab12cd34ef5678", &[0]),
            ("gpu-00AB12CD34EF5678,1", &[0, 1]),
            ("GPU-ff,0", &[2, 0]),
            ("1,GPU-00ac", &[1]),
            ("GPU-00a", &[]),
            ("GPU-", &[]),
            ("GPU-ee,0", &[]),
            ("0;1", &[]),
        ] {
            assert_eq!(visible(list, &uuids), seen, "{list:?}");
        }
    }
}
