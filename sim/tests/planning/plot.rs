//! Drawings as SVG that load nothing: bars, small line charts one below the other, a line with a limit.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 190.0;
const TOP: f64 = 34.0;
const ROW: f64 = 24.0;
const COLOUR: &str = "#2a6f97";

pub struct Bar {
    pub name: String,
    /// Milliseconds.
    pub value: f64,
}

fn drawing(title: &str, height: f64, content: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\">\n<title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"20\" font-weight=\"bold\">{title}</text>\n{content}</svg>\n"
    )
}

fn label(content: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(content, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}

/// One bar for each value, with the value in milliseconds behind it.
pub fn bars(title: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.value).filter(|value| value.is_finite()).fold(1.0, f64::max);
    let mut content = String::new();
    for (at, bar) in bars.iter().enumerate() {
        let y = TOP + at as f64 * ROW;
        label(&mut content, LEFT - 8.0, y + 14.0, "end", &bar.name);
        let (value, said) = match bar.value {
            value if value.is_finite() => (value, format!("{value:.0} ms")),
            _ => (0.0, "never".to_owned()),
        };
        let width = value / most * (WIDTH - LEFT - 80.0);
        let _ = writeln!(
            content,
            "<rect x=\"{LEFT:.0}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"16\" fill=\"{COLOUR}\"/>"
        );
        label(&mut content, LEFT + width + 6.0, y + 13.0, "start", &said);
    }
    drawing(title, TOP + bars.len() as f64 * ROW + 8.0, &content)
}

/// One line chart for each series, all with one scale, one below the other. The first value is at `from`, the next one
/// `step` later.
pub fn panels(
    title: &str,
    from: f64,
    step: f64,
    lines: &[(String, Vec<f64>)],
    marks: &[(f64, &str)],
) -> String {
    const HEIGHT: f64 = 56.0;
    const BEGIN: f64 = 40.0;
    let most = lines.iter().flat_map(|(_, values)| values).copied().fold(1.0, f64::max);
    let count = lines.iter().map(|(_, values)| values.len()).max().unwrap_or_default();
    let x = |seconds: f64| BEGIN + (seconds - from) / (count as f64 * step) * (WIDTH - BEGIN - 10.0);
    let mut content = String::new();
    let bottom = TOP + 16.0 + lines.len() as f64 * HEIGHT;
    for (at, what) in marks {
        let x = x(*at);
        let _ = writeln!(
            content,
            "<path d=\"M{x:.1} {TOP:.0}V{bottom:.1}\" stroke=\"#999\" stroke-dasharray=\"3 3\"/>"
        );
        label(&mut content, x + 4.0, TOP + 8.0, "start", &format!("{at:.0} s: {what}"));
    }
    for (panel, (name, values)) in lines.iter().enumerate() {
        let base = TOP + 16.0 + (panel + 1) as f64 * HEIGHT;
        label(&mut content, BEGIN - 8.0, base - 4.0, "end", name);
        let _ = writeln!(content, "<path d=\"M{BEGIN:.0} {base:.1}H{:.0}\" stroke=\"#ccc\"/>", WIDTH - 10.0);
        let mut path = String::new();
        for (at, value) in values.iter().enumerate() {
            let seconds = from + at as f64 * step;
            let y = base - value / most * (HEIGHT - 10.0);
            let verb = if at == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{verb}{:.1} {y:.1}H{:.1}", x(seconds), x(seconds + step));
        }
        let _ =
            writeln!(content, "<path d=\"{path}\" fill=\"none\" stroke=\"{COLOUR}\" stroke-width=\"1.5\"/>");
    }
    drawing(title, bottom + 10.0, &content)
}

/// A line through points, with a limit.
pub fn line(title: &str, points: &[(f64, f64)], limit: f64) -> String {
    const BOTTOM: f64 = 200.0;
    const BEGIN: f64 = 60.0;
    let (last, most) =
        points.iter().fold((1.0, limit), |(x, y): (f64, f64), point| (x.max(point.0), y.max(point.1)));
    let x = |value: f64| BEGIN + value / last * (WIDTH - BEGIN - 20.0);
    let y = |value: f64| BOTTOM - value / most * (BOTTOM - TOP - 10.0);
    let mut content = String::new();
    let path: Vec<String> =
        points.iter().map(|point| format!("{:.1} {:.1}", x(point.0), y(point.1))).collect();
    let at = y(limit);
    let _ = writeln!(content, "<path d=\"M{BEGIN:.0} {BOTTOM:.0}H{:.0}\" stroke=\"#ccc\"/>", WIDTH - 20.0);
    let _ = writeln!(
        content,
        "<path d=\"M{BEGIN:.0} {at:.1}H{:.0}\" stroke=\"#c00\" stroke-dasharray=\"4 3\"/>",
        WIDTH - 20.0
    );
    let _ = writeln!(
        content,
        "<path d=\"M{}\" fill=\"none\" stroke=\"{COLOUR}\" stroke-width=\"1.5\"/>",
        path.join("L")
    );
    label(&mut content, BEGIN - 8.0, at + 4.0, "end", &format!("{limit:.0}"));
    label(&mut content, BEGIN - 8.0, BOTTOM + 4.0, "end", "0");
    label(&mut content, WIDTH - 20.0, BOTTOM + 18.0, "end", &format!("{last:.0} s"));
    drawing(title, BOTTOM + 28.0, &content)
}
