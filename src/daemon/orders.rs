//! What administrators want done.
//!
//! A change of a tenant is asked of the broker first; what the broker accepts applies at once and is then kept for the next start. What cannot
//! be kept is still done, and the answer says so.

use broker::{AdminCommand, AdminError, AdminReply, DeviceChange, Input};
use proto::{Instant, SessionId, TenantName};
use sys::CallFailed;
use sys::event::Interest;

use super::desk::Line;
use super::report::failure;
use super::{Daemon, TURN_MAX, Watched};
use crate::admin::{Answer, Failure, FailureCode, Reply, Request};
use crate::clock;
use crate::config::values::{Division, Name, Pace};
use crate::config::{DeviceSettings, Live, Settings, TenantSettings};
use crate::tap;

impl Daemon {
    pub(super) fn accept_admins(&mut self) -> Result<(), CallFailed> {
        for _ in 0..TURN_MAX {
            match self.admins.accept() {
                Ok(Some(stream)) => {
                    if let Some(id) = self.desk.enter(stream)
                        && let Some(fd) = self.desk.fd(id)
                    {
                        self.poller.add(fd, Watched::Client(id).token(), Interest::IN)?;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "cannot accept an administrator");
                    break;
                }
            }
        }
        Ok(())
    }

    /// Serves an administrator, for a turn.
    pub(super) fn handle_client(&mut self, id: u64) -> Result<(), CallFailed> {
        for _ in 0..TURN_MAX {
            match self.desk.next(id) {
                Line::Request(line) => {
                    let request = read(&line);
                    let traces = request == Ok(Request::Trace);
                    let answer = request.and_then(|request| self.carry_out(request));
                    self.desk.answer(id, &answer.map_or_else(Answer::Error, Answer::Ok));
                    if traces {
                        self.open_tap(id);
                    }
                }
                Line::Close => self.close_tap(id),
                Line::Wait { to_send } => {
                    let interest = if to_send { Interest::OUT } else { Interest::IN };
                    if let Some(fd) = self.desk.fd(id) {
                        self.poller.change(fd, Watched::Client(id).token(), interest)?;
                    }
                    return Ok(());
                }
                Line::Over => {
                    if let Some(stream) = self.desk.leave(id) {
                        self.poller.remove(&stream)?;
                    }
                    return Ok(());
                }
            }
        }
        // Level-triggered epoll reports bytes that wait in the socket, not lines that wait with us: take the turn up when there is room.
        match self.desk.fd(id) {
            Some(fd) => self.poller.change(fd, Watched::Client(id).token(), Interest::IN | Interest::OUT),
            None => Ok(()),
        }
    }

    fn carry_out(&mut self, request: Request) -> Result<Reply, Failure> {
        match request {
            Request::TenantList => self.look(AdminCommand::TenantList),
            Request::TenantShow { tenant } => self.look(AdminCommand::TenantShow(tenant.0)),
            Request::SessionList => self.look(AdminCommand::SessionList),
            Request::Status => self.look(AdminCommand::Status),
            Request::TenantSet { settings } => self.set_tenant(&settings),
            Request::TenantReset { tenant } => self.reset_tenant(tenant.0),
            Request::TenantRemove { tenant } => {
                self.do_it(AdminCommand::TenantRemove(tenant.0))?;
                tracing::info!(tenant = %tenant, "removed a tenant");
                let in_file = self.settings.tenants.iter().any(|t| t.name == tenant);
                self.keep(|live| live.remove(tenant.0, in_file))
            }
            Request::TenantPause { tenant } => self.pause(tenant.0, true),
            Request::TenantResume { tenant } => self.pause(tenant.0, false),
            Request::DeviceSet { device, policy, slice } => self.set_device(device, policy, slice),
            Request::SessionKill { session } => {
                self.do_it(AdminCommand::SessionKill(SessionId(session)))?;
                tracing::info!(session, "an administrator ended a session");
                Ok(Reply::Done)
            }
            // What follows the answer is the caller's to begin.
            Request::Trace => Ok(Reply::Done),
            Request::Reload => self.reload().map(|()| Reply::Done),
            Request::Shutdown => {
                self.shut_down();
                Ok(Reply::Done)
            }
        }
    }

    fn do_it(&mut self, command: AdminCommand) -> Result<AdminReply, Failure> {
        self.ask(command).map_err(failure)
    }

    /// Answers a question about how things are.
    fn look(&mut self, command: AdminCommand) -> Result<Reply, Failure> {
        self.refresh();
        let reply = self.do_it(command)?;
        let now = Instant(clock::now_ns());
        Ok(match reply {
            AdminReply::Done => Reply::Done,
            AdminReply::Tenants(tenants) => Reply::Tenants(self.tenant_views(now, tenants)),
            AdminReply::Sessions(sessions) => Reply::Sessions(self.session_views(now, sessions)),
            AdminReply::Status(status) => Reply::Status(Box::new(self.status_view(now, status))),
        })
    }

    /// Shows the broker all gates. A tenant that is alone never tells it anything, so what that one used would not be booked yet.
    pub(super) fn refresh(&mut self) {
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in sessions {
            let gate = self.sessions.get(&session).and_then(|s| s.worker.as_ref()).map(|w| w.gate.view());
            if let Some(view) = gate {
                self.feed(Input::Gate { session, view });
            }
        }
    }

    fn set_tenant(&mut self, settings: &TenantSettings) -> Result<Reply, Failure> {
        let name = settings.name.0;
        let existed = self.broker.config().tenant(&name).is_some();
        self.do_it(AdminCommand::TenantSet(name, settings.to_change()))?;
        tracing::info!(tenant = %name, fields = ?settings.fields_set(), new = !existed, "changed a tenant");
        self.keep(|live| live.set(settings, existed))
    }

    fn set_device(
        &mut self,
        device: Option<u32>,
        policy: Option<Division>,
        slice: Option<Pace>,
    ) -> Result<Reply, Failure> {
        let change = DeviceChange {
            policy: policy.map(|policy| policy.0),
            slice: slice.map(|pace| pace.0.slice),
            adaptive: slice.map(|pace| pace.0.adaptive),
        };
        self.do_it(AdminCommand::DeviceSet(device, change))?;
        tracing::info!(device, ?policy, ?slice, "changed how device time is divided");
        let all = 0..self.broker.config().devices.len() as u32;
        let changed: Vec<u32> = all.filter(|index| device.is_none_or(|device| device == *index)).collect();
        self.keep(|live| changed.iter().for_each(|&index| live.set_device(index, policy, slice)))
    }

    fn pause(&mut self, tenant: TenantName, paused: bool) -> Result<Reply, Failure> {
        let command = if paused { AdminCommand::TenantPause(tenant) } else { AdminCommand::TenantResume(tenant) };
        self.do_it(command)?;
        tracing::info!(%tenant, paused, "paused or resumed a tenant");
        if self.desk.has_taps() {
            self.desk.tell(&tap::Line::Paused { at_ns: clock::now_ns(), tenant: Name(tenant), paused });
        }
        self.keep(|live| live.pause(tenant, paused))
    }

    /// Makes a tenant again what the file says it is.
    fn reset_tenant(&mut self, tenant: TenantName) -> Result<Reply, Failure> {
        let mut live = self.live.clone();
        let was_paused = live.paused().any(|name| name == tenant);
        if !live.reset(tenant) && self.broker.config().tenant(&tenant).is_none() {
            return Err(failure(AdminError::NoSuchTenant(tenant)));
        }
        self.do_it(AdminCommand::Reload(self.settings.to_config(&live)))?;
        if was_paused && self.broker.config().tenant(&tenant).is_some() {
            self.do_it(AdminCommand::TenantResume(tenant))?;
        }
        tracing::info!(%tenant, "reset a tenant to its configuration");
        self.keep(|kept| *kept = live)
    }

    /// Keeps a change that was made for the next start.
    fn keep(&mut self, change: impl FnOnce(&mut Live)) -> Result<Reply, Failure> {
        change(&mut self.live);
        let Some(path) = &self.settings.state else {
            tracing::warn!("this change ends with the daemon: there is no file to keep it in (state, --state)");
            return Ok(Reply::Done);
        };
        let kept = self.live.write(path);
        kept.map(|()| Reply::Done).map_err(|error| {
            tracing::error!(%error, "a change is not kept");
            Failure { code: FailureCode::NotKept, text: format!("done, but a restart will forget it: {error}") }
        })
    }

    /// Pauses the tenants that were paused when the daemon ended.
    pub(super) fn pause_kept(&mut self) {
        let paused: Vec<TenantName> = self.live.paused().collect();
        for tenant in paused {
            if let Err(error) = self.ask(AdminCommand::TenantPause(tenant)) {
                tracing::warn!(%error, "a tenant that was paused is no longer configured");
            }
        }
    }

    /// Reads the configuration file again. What needs a restart to change stays as it is, and the log says so.
    pub(super) fn reload(&mut self) -> Result<(), Failure> {
        let bad = |text: String| Failure { code: FailureCode::BadConfig, text };
        let new = Settings::load(&self.options).map_err(|e| bad(e.to_string()))?;
        let old = &self.settings;
        let fixed = [
            ("device", new.devices.iter().map(|d| &d.spec).eq(old.devices.iter().map(|d| &d.spec))),
            ("partition", new.partitions == old.partitions),
            ("socket", new.tenant_socket == old.tenant_socket),
            ("admin_socket", new.admin_socket == old.admin_socket),
            ("worker_uid_first", new.worker_uid_first == old.worker_uid_first),
            ("state", new.state == old.state),
        ];
        for (key, _) in fixed.iter().filter(|(_, same)| !same) {
            tracing::warn!(key, "this changed in the configuration and needs a restart");
        }
        let new = Settings {
            // Which there are stays; what is set of each follows the file, if it still has as many.
            devices: old
                .devices
                .iter()
                .zip(new.devices.iter().chain(&old.devices[new.devices.len().min(old.devices.len())..]))
                .map(|(old, new)| DeviceSettings { spec: old.spec.clone(), ..new.clone() })
                .collect(),
            partitions: old.partitions.clone(),
            tenant_socket: old.tenant_socket.clone(),
            admin_socket: old.admin_socket.clone(),
            worker_uid_first: old.worker_uid_first,
            state: old.state.clone(),
            ..new
        };
        self.do_it(AdminCommand::Reload(new.to_config(&self.live)))?;
        self.settings = new;
        tracing::info!("reloaded the configuration");
        Ok(())
    }
}

/// Returns what a line asks for.
fn read(line: &[u8]) -> Result<Request, Failure> {
    serde_json::from_slice(line).map_err(|error| Failure {
        code: FailureCode::BadRequest,
        text: format!("not a request: {error}; docs/admin.md shows them"),
    })
}
