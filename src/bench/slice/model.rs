//! What a slice costs and what it buys: the overhead model, the knee, the Pareto front, and one recommendation for each goal.
//!
//! The model is `eta(s) = s / (s + c)`: of every slice `s` the device gives away `c`, whatever is in it. `c` is fitted by least squares to what all tenants
//! together got done against one alone, so it holds the direct price of a switch (stop, hand over, wipe, start) and the indirect one (cold caches).
//! Its interval is a bootstrap: 95 % of the fits to samples drawn again with replacement lie in it. With few observations that is too narrow: of six, as a quick run has,
//! such intervals held the truth in some 80 of 100 simulated runs, so below [`FEW`] the report says that there were few. Nothing here measures or prints.

use serde::Serialize;

/// One observation: the slice in nanoseconds, and work done together over work done alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observed {
    pub(super) slice_ns: f64,
    pub(super) efficiency: f64,
}

/// The price of a slice's end, fitted.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Model {
    /// `c` in nanoseconds.
    pub(super) cost_ns: f64,
    /// 95 % interval of `c`.
    pub(super) low_ns: f64,
    /// See `low_ns`.
    pub(super) high_ns: f64,
    /// Root of the mean squared residual of the efficiency.
    pub(super) residual: f64,
    /// Observations.
    pub(super) observations: usize,
}

/// Fewer observations than this, and the interval is narrower than it should be.
pub(super) const FEW: usize = 12;
/// Fits of the bootstrap.
const RESAMPLED: usize = 400;
/// Costs that are considered: a nanosecond to ten seconds.
const COST_NS: (f64, f64) = (1.0, 1e10);

fn efficiency(slice_ns: f64, cost_ns: f64) -> f64 {
    slice_ns / (slice_ns + cost_ns)
}

fn squares(seen: &[Observed], cost_ns: f64) -> f64 {
    seen.iter().map(|o| (o.efficiency - efficiency(o.slice_ns, cost_ns)).powi(2)).sum()
}

/// Returns the cost that fits best. The sum of squares has one valley in the logarithm of the cost between where every slice would be
/// free and where none would do anything: a coarse walk finds it, and golden sections narrow it down.
fn fit(seen: &[Observed]) -> f64 {
    const STEPS: u32 = 120;
    let (from, to) = (COST_NS.0.ln(), COST_NS.1.ln());
    let step = (to - from) / f64::from(STEPS);
    let at = |k: u32| from + f64::from(k) * step;
    let best =
        (0..=STEPS).map(|k| (squares(seen, at(k).exp()), k)).min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |b| b.1);
    let (mut a, mut b) = (at(best.saturating_sub(1)), at((best + 1).min(STEPS)));
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    for _ in 0..60 {
        let (c, d) = (b - golden * (b - a), a + golden * (b - a));
        if squares(seen, c.exp()) < squares(seen, d.exp()) { b = d } else { a = c }
    }
    f64::midpoint(a, b).exp()
}

impl Model {
    /// Fits the model; `None` with fewer than three observations, which say nothing about how sure they are.
    pub(super) fn of(seen: &[Observed], seed: u64) -> Option<Model> {
        if seen.len() < 3 {
            return None;
        }
        let cost_ns = fit(seen);
        let mut random = oorandom::Rand64::new(u128::from(seed));
        let mut again: Vec<f64> = (0..RESAMPLED)
            .map(|_| {
                let drawn: Vec<Observed> =
                    seen.iter().map(|_| seen[random.rand_range(0..seen.len() as u64) as usize]).collect();
                fit(&drawn)
            })
            .collect();
        again.sort_by(f64::total_cmp);
        let residual = (squares(seen, cost_ns) / seen.len() as f64).sqrt();
        let (low_ns, high_ns) = (again[RESAMPLED / 40], again[RESAMPLED - 1 - RESAMPLED / 40]);
        Some(Model { cost_ns, low_ns, high_ns, residual, observations: seen.len() })
    }

    /// Returns the shortest slice in nanoseconds that leaves this part of the device: `c eta / (1 - eta)`.
    pub(super) fn slice_for(&self, efficiency: f64) -> f64 {
        self.cost_ns * efficiency / (1.0 - efficiency)
    }
}

/// A slice as all workloads together judge it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Judged {
    /// The slice in nanoseconds.
    pub(super) slice_ns: u64,
    /// Least efficiency of all workloads, by the model.
    pub(super) efficiency: f64,
    /// Longest 99th percentile of a request's latency of all workloads, in nanoseconds, measured.
    pub(super) latency_p99_ns: u64,
    /// Of so many requests, those of the workload where they were fewest.
    pub(super) requests: u64,
    /// Whether the machine can tell such a slice from its own noise.
    pub(super) resolved: bool,
    /// Whether no other slice has at least the efficiency with a shorter latency, or a shorter latency with at least the efficiency.
    pub(super) on_front: bool,
    /// Whether efficiency gained for slice given bends here.
    pub(super) knee: bool,
}

/// Marks the Pareto front and the knee. Slices come in rising order.
pub(super) fn judge(slices: &mut [Judged]) {
    let seen: Vec<(f64, u64)> = slices.iter().map(|s| (s.efficiency, s.latency_p99_ns)).collect();
    for (k, slice) in slices.iter_mut().enumerate() {
        let (eta, wait) = seen[k];
        slice.on_front = !seen.iter().any(|&(e, w)| (e >= eta && w < wait) || (e > eta && w <= wait));
    }
    let resolved: Vec<usize> = (0..slices.len()).filter(|k| slices[*k].resolved).collect();
    let curve: Vec<(f64, f64)> =
        resolved.iter().map(|k| ((slices[*k].slice_ns as f64).ln(), slices[*k].efficiency)).collect();
    if let Some(k) = knee(&curve) {
        slices[resolved[k]].knee = true;
    }
}

/// A curve that rises by less has no bend to speak of.
const RISE_MIN: f64 = 0.01;

/// Returns where a concave rising curve bends: the point farthest above the chord from its first to its last, both axes scaled to one
/// (Satopaa et al., "Finding a Kneedle in a Haystack", 2011). `None` if it hardly rises or has no point between. Scaling takes the price of a switch out
/// of it: where it lies says as much of the range that was swept as of the device. So it is a mark for whoever looks, and recommends nothing.
fn knee(curve: &[(f64, f64)]) -> Option<usize> {
    let (&(x0, y0), &(x1, y1)) = (curve.first()?, curve.last()?);
    if curve.len() < 3 || x1 <= x0 || y1 - y0 < RISE_MIN {
        return None;
    }
    let above = |&(x, y): &(f64, f64)| (y - y0) / (y1 - y0) - (x - x0) / (x1 - x0);
    let best = curve.iter().enumerate().max_by(|a, b| above(a.1).total_cmp(&above(b.1)))?;
    (above(best.1) > 0.0).then_some(best.0)
}

/// What an administrator wants.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Goals {
    /// The part of the device that switches shall leave, for `balanced`.
    pub(super) efficiency: f64,
    /// Longest 99th percentile of a request's latency in nanoseconds, for `latency`.
    pub(super) latency_ns: u64,
}

/// The part of the device that switches shall leave where throughput is all.
pub(super) const THROUGHPUT: f64 = 0.99;

/// A slice for a goal.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Recommendation {
    /// `throughput`, `balanced` or `latency`.
    pub(super) goal: &'static str,
    /// Whether a slice that was tried meets the goal. If not, this is the one that comes closest.
    pub(super) met: bool,
    /// The slice in nanoseconds.
    pub(super) slice_ns: u64,
    /// What is predicted of it.
    pub(super) efficiency: f64,
    /// What was measured of it.
    pub(super) latency_p99_ns: u64,
    /// The sentence that says why.
    pub(super) why: String,
    /// The line for the configuration file.
    pub(super) line: String,
}

/// Returns a slice for each goal, of those that the machine resolves; none if it resolves none.
pub(super) fn recommend(slices: &[Judged], goals: Goals, name: impl Fn(u64) -> String) -> Vec<Recommendation> {
    let usable: Vec<&Judged> = slices.iter().filter(|s| s.resolved).collect();
    let (Some(&shortest), Some(&longest)) = (usable.first(), usable.last()) else { return Vec::new() };
    let percent = |part: f64| format!("{:.1} %", part * 100.0);
    let recommendation = |goal, met, slice: &Judged, why| Recommendation {
        goal,
        met,
        slice_ns: slice.slice_ns,
        efficiency: slice.efficiency,
        latency_p99_ns: slice.latency_p99_ns,
        why,
        line: format!("slice = \"{}\"", name(slice.slice_ns)),
    };

    let enough = usable.iter().find(|s| s.efficiency >= THROUGHPUT);
    let throughput = match enough {
        Some(slice) => {
            let why = format!("the shortest slice that leaves {} of the device to tenants", percent(THROUGHPUT));
            recommendation("throughput", true, slice, why)
        }
        None => {
            let why = format!("no slice that was tried leaves {}; the longest comes closest", percent(THROUGHPUT));
            recommendation("throughput", false, longest, why)
        }
    };

    let target = usable.iter().find(|s| s.efficiency >= goals.efficiency);
    let balanced = match target {
        Some(target) => {
            let why = format!("the shortest slice that leaves the {} asked for", percent(goals.efficiency));
            recommendation("balanced", true, target, why)
        }
        None => {
            let why =
                format!("no slice that was tried leaves {}; the longest comes closest", percent(goals.efficiency));
            recommendation("balanced", false, longest, why)
        }
    };

    let asked = name(goals.latency_ns);
    let holds = usable.iter().rfind(|s| s.latency_p99_ns <= goals.latency_ns);
    let latency = match holds {
        Some(slice) => {
            let requests = slice.requests;
            let why = format!(
                "the longest slice where 99 of 100 requests took at most {asked}, of {requests} that were measured"
            );
            recommendation("latency", true, slice, why)
        }
        None => {
            let why = format!(
                "{asked} at the 99th percentile cannot be had with so many tenants at any slice that was tried; the shortest comes closest"
            );
            recommendation("latency", false, shortest, why)
        }
    };
    vec![throughput, balanced, latency]
}

/// Returns `count` slices between two, evenly on a logarithmic scale, each rounded to two digits.
pub(super) fn log_spaced(from_ns: u64, to_ns: u64, count: u32) -> Vec<u64> {
    let (a, b) = ((from_ns as f64).ln(), (to_ns as f64).ln());
    let steps = f64::from(count.saturating_sub(1).max(1));
    let mut all: Vec<u64> = (0..count)
        .map(|k| {
            let exact = (a + (b - a) * f64::from(k) / steps).exp();
            let digit = 10f64.powf((exact.log10() + 1e-9).floor() - 1.0);
            ((exact / digit).round() * digit).round() as u64
        })
        .collect();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(cost_ns: f64, noise: f64) -> Vec<Observed> {
        drawn(cost_ns, noise, 5)
    }

    fn drawn(cost_ns: f64, noise: f64, seed: u128) -> Vec<Observed> {
        let mut random = oorandom::Rand64::new(seed);
        let mut observed = |slice_ns: u64| Observed {
            slice_ns: slice_ns as f64,
            efficiency: efficiency(slice_ns as f64, cost_ns) + noise * (random.rand_float() - 0.5),
        };
        [1u64, 2, 4, 8, 16].iter().flat_map(|ms| [ms * 1_000_000; 5]).map(&mut observed).collect()
    }

    #[test]
    fn the_model_finds_the_cost_it_was_made_with() {
        for cost in [1_000.0, 60_000.0, 2_000_000.0] {
            let exact = Model::of(&seen(cost, 0.0), 1).unwrap();
            assert!((exact.cost_ns / cost - 1.0).abs() < 1e-3, "{exact:?}");
            assert!(exact.residual < 1e-6);
        }
        // An interval of 95 % misses the truth now and then, and with so few observations a little more often.
        let models: Vec<Model> = (0..40).map(|seed| Model::of(&drawn(200_000.0, 0.04, seed), 1).unwrap()).collect();
        let holds = models.iter().filter(|m| m.low_ns <= 200_000.0 && 200_000.0 <= m.high_ns).count();
        assert!((34..=40).contains(&holds), "{holds} of 40");
        assert!(models.iter().all(|m| m.high_ns / m.low_ns > 1.01 && m.residual > 0.001));
        assert!(Model::of(&seen(1.0, 0.0)[..2], 1).is_none());
    }

    #[test]
    fn the_shortest_slice_for_an_efficiency_is_the_models_inverse() {
        let model = Model::of(&seen(100_000.0, 0.0), 1).unwrap();
        let slice = model.slice_for(0.95);
        assert!((efficiency(slice, model.cost_ns) - 0.95).abs() < 1e-9);
        assert!((slice / 1_900_000.0 - 1.0).abs() < 1e-2, "19 c: {slice}");
    }

    #[test]
    fn more_than_was_done_alone_costs_nothing() {
        let free: Vec<Observed> = seen(1.0, 0.0).iter().map(|o| Observed { efficiency: 1.02, ..*o }).collect();
        assert!(Model::of(&free, 1).unwrap().cost_ns < 2.0);
    }

    fn judged(points: &[(u64, f64, u64)]) -> Vec<Judged> {
        let one = |&(slice_ns, efficiency, latency_p99_ns): &(u64, f64, u64)| Judged {
            slice_ns,
            efficiency,
            latency_p99_ns,
            requests: 1_000,
            resolved: true,
            on_front: false,
            knee: false,
        };
        let mut all: Vec<Judged> = points.iter().map(one).collect();
        judge(&mut all);
        all
    }

    #[test]
    fn the_front_has_what_nothing_beats() {
        let all = judged(&[(1, 0.5, 30), (2, 0.8, 20), (4, 0.9, 40), (8, 0.9, 50)]);
        let front: Vec<u64> = all.iter().filter(|s| s.on_front).map(|s| s.slice_ns).collect();
        assert_eq!(front, [2, 4]);
    }

    #[test]
    fn the_knee_is_where_the_curve_bends() {
        let points: Vec<_> =
            (0..12u32).map(|k| (1u64 << k, f64::from(1 << k) / (f64::from(1 << k) + 4.0), 10)).collect();
        let all = judged(&points);
        let at = all.iter().position(|s| s.knee).unwrap();
        assert!((4..=6).contains(&at), "{at}");
        assert!(judged(&[(1, 0.9, 1), (2, 0.9, 1), (4, 0.9, 1)]).iter().all(|s| !s.knee), "a flat one has none");
    }

    #[test]
    fn every_goal_gets_the_slice_that_meets_it_or_the_nearest() {
        let ms = |n: u64| n * 1_000_000;
        let points = [
            (ms(1), 0.90, ms(4)),
            (ms(2), 0.95, ms(8)),
            (ms(4), 0.974, ms(16)),
            (ms(8), 0.987, ms(32)),
            (ms(16), 0.993, ms(64)),
        ];
        let mut all = judged(&points);
        all.iter_mut().for_each(|s| s.knee = false);
        let goals = Goals { efficiency: 0.95, latency_ns: ms(20) };
        let got = recommend(&all, goals, |ns| format!("{}ms", ns / ms(1)));
        let slices: Vec<_> = got.iter().map(|r| (r.goal, r.met, r.line.as_str())).collect();
        assert_eq!(
            slices,
            [
                ("throughput", true, "slice = \"16ms\""),
                ("balanced", true, "slice = \"2ms\""),
                ("latency", true, "slice = \"4ms\"")
            ]
        );
        all[2].knee = true;
        assert_eq!(recommend(&all, goals, |ns| ns.to_string())[1].slice_ns, ms(2), "a knee is a mark and no reason");
        let hard = Goals { efficiency: 0.999, latency_ns: 1 };
        let got: Vec<_> = recommend(&all, hard, |ns| ns.to_string()).iter().map(|r| (r.met, r.slice_ns)).collect();
        assert_eq!(got, [(true, ms(16)), (false, ms(16)), (false, ms(1))]);
        all.iter_mut().for_each(|s| s.resolved = false);
        assert!(recommend(&all, goals, |ns| ns.to_string()).is_empty());
    }

    #[test]
    fn slices_are_evenly_spaced_and_easy_to_say() {
        assert_eq!(
            log_spaced(500_000, 16_000_000, 6),
            [500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000, 16_000_000]
        );
        let twelve = log_spaced(250_000, 64_000_000, 12);
        assert_eq!((twelve.len(), twelve[0], twelve[11]), (12, 250_000, 64_000_000));
        assert!(twelve.windows(2).all(|w| (1.4..1.9).contains(&(w[1] as f64 / w[0] as f64))), "{twelve:?}");
    }
}
