//! Whether those who did nothing wrong had their due beside those who did.

use crate::broken::Broken;
use crate::report::{Report, TenantReport};
use crate::scenario::{Habit, Scenario};

/// Compares a run with attackers to the same run without.
pub(crate) fn compare(scenario: &Scenario, with: &Report, without: &Report) -> Result<(), Broken> {
    let bad = |name| scenario.programs.iter().any(|p| p.tenant == name && p.attacker);
    let total: u64 = with.tenants.iter().map(|t| u64::from(t.weight)).sum();
    // All device time there was, at the least: what everybody had.
    let wall: u64 = with.tenants.iter().map(|t| t.had.0).sum();
    for innocent in without.tenants.iter().filter(|t| !bad(t.tenant)) {
        let Some(beside) = with.tenants.iter().find(|t| t.tenant == innocent.tenant) else { continue };
        let saturated = scenario.programs.iter().any(|p| p.tenant == innocent.tenant && p.habit == Habit::Saturated);
        let share = wall * u64::from(innocent.weight) / total;
        let longest = sched::Nanos(scenario.occupancy_max() + scenario.delays.slack());
        let error = u64::try_from(sched::bounds::share_error_max(longest, 1)).unwrap_or(u64::MAX);
        if saturated {
            let least = share.min(innocent.had.0).saturating_sub(error);
            at_least(innocent, "ns of device time", beside.had.0, least)?;
        } else if share.saturating_sub(error) > innocent.had.0 {
            // What it wants is less than its share, so all of it is done but for what came last.
            let least = innocent.completed.saturating_sub(in_flight(innocent));
            at_least(innocent, "dispatches", beside.completed, least)?;
        }
        at_least(innocent, "charges granted", beside.charges.0, innocent.charges.0.saturating_sub(1))?;
    }
    Ok(())
}

/// What may still be waiting when the world ends: a few of those that come one at a time.
fn in_flight(tenant: &TenantReport) -> u64 {
    2 + tenant.completed / 50
}

fn at_least(tenant: &TenantReport, what: &'static str, with: u64, least: u64) -> Result<(), Broken> {
    if with < least { Err(Broken::Innocent { tenant: tenant.tenant, what, with, least }) } else { Ok(()) }
}
