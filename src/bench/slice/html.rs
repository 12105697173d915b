//! The report as one page that needs nothing else: tables as text, plots as SVG inside.

use super::super::figures::time;
use super::report::{COLUMNS, Fit, Report, Row, span};
use super::workload::{Point, Workload};
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::fmt::Write as _;

/// Pixels of a plot.
const SIZE: (u32, u32) = (720, 400);
/// Colours that differ for people who see few colours too (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;color:#1b1f24;background:#fff;max-width:1560px;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.7rem;margin-bottom:.2rem}h2{margin-top:2.5rem;border-bottom:1px solid #d0d7de;padding-bottom:.2rem}\
.cards{display:flex;flex-wrap:wrap;gap:1rem}.card{flex:1 1 20rem;border:1px solid #d0d7de;border-radius:8px;padding:1rem}\
.card h3{margin:0;text-transform:capitalize}.card code{font-size:1.2rem;display:block;margin:.5rem 0;background:#f6f8fa;padding:.4rem .6rem;border-radius:4px}\
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(34rem,1fr));gap:1.5rem}.plots svg{width:100%;height:auto}\
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.85rem}\
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #eaeef2;white-space:nowrap}th{background:#f6f8fa}\
td:first-child,th:first-child{text-align:left}.muted{color:#57606a}.bad{color:#b42318}.good{color:#116329}";

/// Writes the page.
pub(super) fn page(report: &Report) -> Result<String> {
    let mut out = String::new();
    let environment = &report.environment;
    write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Wavegate: how long a slice should be</title><style>{STYLE}</style>\
         <h1>How long should a slice be?</h1><p class=muted>{} on {} host processors ({}), Linux {}, wavegate {}. \
         Slices below {} are mostly this machine's noise and are not judged.</p>",
        escaped(&environment.device),
        environment.processors,
        escaped(&environment.processor),
        escaped(&environment.kernel),
        environment.wavegate,
        time(report.shortest_slice_ns)
    )?;
    recommendations(&mut out, report)?;
    write!(
        out,
        "<h2>What a slice costs and what it buys</h2><p>For {} tenants. Dots were measured, lines are the model \
        <i>s</i>&thinsp;/&thinsp;(<i>s</i>&thinsp;+&thinsp;<i>c</i>) fitted to them. Latency is of requests sent at planned times beside \
        the tenants, from when they should have been sent.</p><div class=plots>",
        report.tenants
    )?;
    for plot in [efficiency(report)?, latency(report)?, front(report)?, parts(report)?] {
        write!(out, "<figure style=\"margin:0\">{plot}</figure>")?;
    }
    write!(out, "</div>")?;
    fits(&mut out, report)?;
    tables(&mut out, report)?;
    Ok(out)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn recommendations(out: &mut String, report: &Report) -> std::fmt::Result {
    if let Some(refusal) = &report.refusal {
        return write!(out, "<h2>No recommendation</h2><p class=bad>{}.</p>", escaped(refusal));
    }
    write!(out, "<h2>Recommended for {} tenants</h2><div class=cards>", report.tenants)?;
    for r in &report.recommendations {
        let met = if r.met { "" } else { "<p class=bad>Not met.</p>" };
        write!(
            out,
            "<div class=card><h3>{}</h3><code>{}</code><p>{:.1} % of the device left, requests {} at the 99th percentile.</p>{met}\
             <p class=muted>{}.</p></div>",
            r.goal,
            escaped(&r.line),
            100.0 * r.efficiency,
            time(r.latency_p99_ns),
            escaped(&r.why)
        )?;
    }
    write!(out, "</div>")?;
    for c in &report.confirmations {
        let (class, word) = if c.confirmed { ("good", "confirmed") } else { ("bad", "not confirmed") };
        write!(
            out,
            "<p>Measured again at {} with {}: {:.1} % predicted, {:.1} % measured: <span class={class}>{word}</span>.</p>",
            span(c.point.slice_ns),
            c.point.workload.name(),
            100.0 * c.predicted,
            100.0 * c.measured.value
        )?;
    }
    Ok(())
}

fn fits(out: &mut String, report: &Report) -> std::fmt::Result {
    write!(
        out,
        "<h2>Price of a slice's end</h2><p>Fitted to what was done together (direct and indirect), and by the broker's clock (direct alone).</p>\
         <table><tr><th>workload<th>tenants<th>fitted<th>95 % interval<th>residual<th>direct<th>slice for the efficiency asked</tr>"
    )?;
    for Fit { workload, tenants, model, direct_ns, slice_for_target_ns } in &report.fits {
        write!(
            out,
            "<tr><td>{}<td>{tenants}<td>{}<td>{} .. {}<td>{:.4}<td>{}<td>{}</tr>",
            workload.name(),
            time(model.cost_ns as u64),
            time(model.low_ns as u64),
            time(model.high_ns as u64),
            model.residual,
            time(*direct_ns as u64),
            time(*slice_for_target_ns as u64)
        )?;
    }
    write!(out, "</table>")
}

fn tables(out: &mut String, report: &Report) -> std::fmt::Result {
    for &workload in &report.plan.workloads {
        write!(
            out,
            "<h2>{}</h2><p class=muted>{}</p><div class=scroll><table><tr>",
            workload.name(),
            workload.about()
        )?;
        for (name, _) in COLUMNS {
            write!(out, "<th>{}", name.to_lowercase())?;
        }
        for row in report.rows.iter().filter(|r| r.point.workload == workload) {
            write!(out, "<tr>")?;
            for cell in row.cells() {
                write!(out, "<td>{cell}")?;
            }
        }
        write!(out, "</table></div>")?;
    }
    Ok(())
}

/// What is drawn of a workload: a line of (slice in ms, value).
type Line = Vec<(f64, f64)>;

fn ms(ns: f64) -> f64 {
    ns / 1e6
}

/// Rows of the recommended number of tenants, by workload.
fn lines(report: &Report, value: impl Fn(&Row) -> f64) -> Vec<(Workload, Line)> {
    let line = |&workload: &Workload| {
        let rows = report
            .plan
            .slices_ns
            .iter()
            .filter_map(|&slice_ns| report.row(Point { workload, tenants: report.tenants, slice_ns }));
        (workload, rows.map(|row| (ms(row.point.slice_ns as f64), value(row))).collect())
    };
    report.plan.workloads.iter().map(line).collect()
}

/// Least and greatest of some positive values, with a little room.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.filter(|v| *v > 0.0).fold((f64::MAX, 0.0), |(a, b): (f64, f64), v| (a.min(v), b.max(v)));
    if low > high { (0.1, 1.0) } else { (low / 1.2, high * 1.2) }
}

/// Labels of an axis of times: 1, 2 and 5 of each decade, or they overlap.
fn label(ms: &f64) -> String {
    let digit = ms / 10f64.powf((ms.log10() + 1e-9).floor());
    if ![1.0, 2.0, 5.0].iter().any(|d| (digit - d).abs() < 1e-6) {
        return String::new();
    }
    if *ms < 0.999 { format!("{:.0} us", ms * 1e3) } else { format!("{ms:.0} ms") }
}

/// Draws a plot into a string of SVG.
fn svg(draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Result<()>) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw(&area)?;
        area.present().map_err(|error| anyhow!("a plot cannot be drawn: {error}"))?;
    }
    Ok(text)
}

/// A plot over the slice: dots that were measured, and a line for each.
fn plot(
    title: &str,
    y: &str,
    range: std::ops::Range<f64>,
    dots: &[(Workload, Line)],
    drawn: &[(Workload, Line)],
    log: bool,
) -> Result<String> {
    let (from, to) = extent(dots.iter().flat_map(|(_, line)| line.iter().map(|p| p.0)));
    svg(|area| {
        area.fill(&WHITE)?;
        let mut builder = ChartBuilder::on(area);
        builder.caption(title, ("sans-serif", 18)).margin(12).x_label_area_size(44).y_label_area_size(70);
        // The two kinds of axis are types of their own, so what is the same for both is a macro.
        macro_rules! draw {
            ($y:expr, $format:expr) => {{
                let mut chart = builder.build_cartesian_2d((from..to).log_scale(), $y)?;
                chart
                    .configure_mesh()
                    .x_desc("slice")
                    .y_desc(y)
                    .x_label_formatter(&label)
                    .y_label_formatter(&$format)
                    .light_line_style(WHITE)
                    .bold_line_style(RGBColor(225, 228, 232))
                    .draw()?;
                for (k, (workload, line)) in drawn.iter().enumerate() {
                    let colour = COLOURS[k % COLOURS.len()];
                    chart
                        .draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))?
                        .label(workload.name())
                        .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(3)));
                }
                for (k, (_, line)) in dots.iter().enumerate() {
                    let colour = COLOURS[k % COLOURS.len()];
                    chart.draw_series(line.iter().map(|p| Circle::new(*p, 4, colour.filled())))?;
                }
                chart
                    .configure_series_labels()
                    .position(if log { SeriesLabelPosition::UpperLeft } else { SeriesLabelPosition::LowerRight })
                    .background_style(WHITE.mix(0.8))
                    .border_style(RGBColor(208, 215, 222))
                    .draw()?;
            }};
        }
        if log {
            draw!(range.log_scale(), label);
        } else {
            draw!(range, |v: &f64| format!("{v:.0} %"));
        }
        Ok(())
    })
}

fn efficiency(report: &Report) -> Result<String> {
    let dots = lines(report, |row| 100.0 * row.efficiency.value);
    let low = dots.iter().flat_map(|(_, line)| line.iter().map(|p| p.1)).fold(100.0, f64::min);
    let high = dots.iter().flat_map(|(_, line)| line.iter().map(|p| p.1)).fold(100.0, f64::max);
    let model = |&workload: &Workload| {
        let fit = report.fits.iter().find(|fit| (fit.workload, fit.tenants) == (workload, report.tenants));
        let (from, to) = extent(report.plan.slices_ns.iter().map(|ns| ms(*ns as f64)));
        let at = |k: u32| from * (to / from).powf(f64::from(k) / 80.0);
        let line = fit.map(|fit| (0..=80).map(at).map(|s| (s, 100.0 * fit.efficiency((s * 1e6) as u64))).collect());
        (workload, line.unwrap_or_default())
    };
    let drawn: Vec<(Workload, Line)> = report.plan.workloads.iter().map(model).collect();
    plot("Work done together, of one alone", "together / alone", low - 2.0..high + 2.0, &dots, &drawn, false)
}

fn latency(report: &Report) -> Result<String> {
    let dots = lines(report, |row| ms(row.request.p99 as f64));
    let (low, high) = extent(dots.iter().flat_map(|(_, line)| line.iter().map(|p| p.1)));
    plot("Latency of a request, 99th percentile", "latency", low..high, &dots, &dots, true)
}

/// Efficiency against latency, a dot for each slice; what nothing beats is filled and joined.
fn front(report: &Report) -> Result<String> {
    let judged = &report.slices;
    let (low, high) = extent(judged.iter().map(|s| ms(s.latency_p99_ns as f64)));
    let least = judged.iter().map(|s| 100.0 * s.efficiency).fold(100.0, f64::min);
    svg(|area| {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .caption("Efficiency against latency, by the workload that suffers most", ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d((low..high).log_scale(), least - 2.0..101.0)?;
        chart
            .configure_mesh()
            .x_desc("latency of a request, 99th percentile")
            .y_desc("left of the device")
            .x_label_formatter(&label)
            .y_label_formatter(&|v: &f64| format!("{v:.0} %"))
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 228, 232))
            .draw()?;
        let mut joined: Line =
            judged.iter().filter(|s| s.on_front).map(|s| (ms(s.latency_p99_ns as f64), 100.0 * s.efficiency)).collect();
        joined.sort_by(|a, b| a.0.total_cmp(&b.0));
        chart.draw_series(LineSeries::new(joined, COLOURS[0].stroke_width(2)))?;
        for s in judged {
            let at = (ms(s.latency_p99_ns as f64), 100.0 * s.efficiency);
            let style = if s.on_front { COLOURS[0].filled() } else { COLOURS[0].stroke_width(1) };
            let name = if s.knee { format!("{} (knee)", span(s.slice_ns)) } else { span(s.slice_ns) };
            chart.draw_series([EmptyElement::at(at)
                + Circle::new((0, 0), 5, style)
                + Text::new(name, (8, -14), ("sans-serif", 13))])?;
        }
        Ok(())
    })
}

/// What a switch is made of, a bar for each workload.
fn parts(report: &Report) -> Result<String> {
    const NAMES: [&str; 3] = ["stop the holder", "hand over", "start the next"];
    let of = |workload: &Workload| {
        let rows = report.rows.iter().filter(|r| r.point.workload == *workload && r.point.tenants == report.tenants);
        let (mut sums, mut count) = ([0.0; 3], 0.0);
        for row in rows {
            let weight = row.switch.count as f64;
            for (sum, part) in sums.iter_mut().zip([row.switch.stop_ns, row.switch.grant_ns, row.switch.start_ns]) {
                *sum += part * weight;
            }
            count += weight;
        }
        sums.map(|sum| sum / f64::max(count, 1.0) / 1e3)
    };
    let bars: Vec<(Workload, [f64; 3])> = report.plan.workloads.iter().map(|w| (*w, of(w))).collect();
    let high = bars.iter().map(|(_, parts)| parts.iter().sum::<f64>()).fold(1.0, f64::max) * 1.15;
    svg(|area| {
        area.fill(&WHITE)?;
        let names: Vec<&str> = bars.iter().map(|(workload, _)| workload.name()).collect();
        let mut chart = ChartBuilder::on(area)
            .caption("A switch, by the broker's clock (mean)", ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..bars.len() as f64, 0.0..high)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(2 * bars.len() + 1)
            .x_label_formatter(&|x: &f64| {
                // Labels stand between the numbers, under the bars.
                if (x.fract() - 0.5).abs() < 0.01 {
                    names.get(*x as usize).copied().unwrap_or_default().to_owned()
                } else {
                    String::new()
                }
            })
            .y_label_formatter(&|v: &f64| format!("{v:.0} us"))
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 228, 232))
            .draw()?;
        for (part, name) in NAMES.iter().enumerate() {
            let colour = COLOURS[part];
            let bar = |(k, (_, parts)): (usize, &(Workload, [f64; 3]))| {
                let below: f64 = parts[..part].iter().sum();
                Rectangle::new([(k as f64 + 0.2, below), (k as f64 + 0.8, below + parts[part])], colour.filled())
            };
            chart
                .draw_series(bars.iter().enumerate().map(bar))?
                .label(*name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(RGBColor(208, 215, 222))
            .draw()?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_name_a_few_times_with_their_unit() {
        let named: Vec<String> = [0.2, 0.3, 0.5, 1.0, 2.0, 4.0, 10.0, 90.0, 200.0].iter().map(label).collect();
        assert_eq!(named, ["200 us", "", "500 us", "1 ms", "2 ms", "", "10 ms", "", "200 ms"]);
    }

    #[test]
    fn what_the_host_calls_itself_is_text() {
        assert_eq!(escaped("a<b & c"), "a&lt;b &amp; c");
    }

    #[test]
    fn an_axis_has_room_around_what_is_on_it() {
        let (low, high) = extent([0.0, 2.0, 8.0].into_iter());
        assert!(low < 2.0 && low > 1.0 && high > 8.0);
        assert_eq!(extent([].into_iter()), (0.1, 1.0));
    }
}
