//! Bar charts as SVG, without scripts. Pure.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 200.0;
const RIGHT: f64 = 90.0;
const BAR: f64 = 18.0;
const GAP: f64 = 8.0;
const TOP: f64 = 30.0;
/// One colour per series, told apart also without seeing colours by their lightness.
const COLOURS: [&str; 4] = ["#1b5e9b", "#7fb2dd", "#b5651d", "#e0b184"];

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) label: String,
    /// Which colour: bars of one series have one.
    pub(super) series: usize,
    pub(super) value: f64,
    /// Smallest and largest run, drawn as a line.
    pub(super) spread: Option<(f64, f64)>,
}

/// A chart with horizontal bars from zero; nothing when there are none.
pub(super) fn chart(title: &str, unit: &str, bars: &[Bar]) -> String {
    let largest = bars.iter().map(|bar| bar.spread.map_or(bar.value, |(_, high)| high.max(bar.value)));
    let largest = largest.fold(0.0, f64::max);
    if largest <= 0.0 {
        return String::new();
    }
    let scale = (WIDTH - LEFT - RIGHT) / largest;
    let height = TOP + bars.len() as f64 * (BAR + GAP);
    let title = escape(title);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n\
         <text x=\"0\" y=\"16\" class=\"title\">{title} ({})</text>\n",
        escape(unit)
    );
    for (bar, index) in bars.iter().zip(0_u32..) {
        let y = TOP + f64::from(index) * (BAR + GAP);
        let middle = y + BAR * 0.7;
        let colour = COLOURS.get(bar.series % COLOURS.len()).copied().unwrap_or("#000");
        let end = LEFT + bar.value * scale;
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>",
            LEFT - 8.0,
            escape(&bar.label),
            bar.value * scale,
        );
        let mut label_at = end;
        if let Some((low, high)) = bar.spread.filter(|(low, high)| low < high) {
            let line = y + BAR / 2.0;
            let (from, to) = (LEFT + low * scale, LEFT + high * scale);
            let _ = writeln!(
                svg,
                "<line x1=\"{from:.1}\" y1=\"{line:.1}\" x2=\"{to:.1}\" y2=\"{line:.1}\" stroke=\"#222\" stroke-width=\"1.5\"/>"
            );
            label_at = end.max(to);
        }
        let _ =
            writeln!(svg, "<text x=\"{:.1}\" y=\"{middle:.1}\">{}</text>", label_at + 6.0, number(bar.value));
    }
    svg.push_str("</svg>\n");
    svg
}

/// A number with as many digits as are worth reading.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Text that is safe inside elements and quoted attributes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, value: f64, spread: Option<(f64, f64)>) -> Bar {
        Bar { label: label.to_owned(), series: 0, value, spread }
    }

    #[test]
    fn bars_are_as_long_as_their_values() {
        let svg = chart("Rate", "objects/s", &[bar("a", 100.0, None), bar("b", 50.0, None)]);
        let widths: Vec<f64> = svg
            .split("<rect ")
            .skip(1)
            .map(|rect| rect.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(widths.len(), 2);
        assert!((widths[0] - 2.0 * widths[1]).abs() < 0.2 && widths[0] <= WIDTH - LEFT - RIGHT, "{widths:?}");
    }

    #[test]
    fn spread_is_a_line_and_fits() {
        let svg = chart("Rate", "objects/s", &[bar("a", 100.0, Some((80.0, 300.0)))]);
        let end: f64 = svg.split("x2=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
        assert!(end <= WIDTH - RIGHT + 0.1, "{end}");
        assert!(!chart("Rate", "x", &[bar("a", 1.0, Some((1.0, 1.0)))]).contains("<line"));
    }

    #[test]
    fn labels_cannot_become_markup_and_nothing_is_no_chart() {
        assert!(chart("<b>", "x", &[bar("\"<script>", 1.0, None)]).contains("&quot;&lt;script&gt;"));
        assert_eq!(chart("Rate", "x", &[]), "");
        assert_eq!([number(1234.4), number(12.34), number(1.234)], ["1234", "12.3", "1.23"]);
    }
}
