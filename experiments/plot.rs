//! Pictures: curves and maps as SVG by `plotters`, and the same picture as PNG by `resvg`. DejaVu Sans is built in, so that
//! they look the same on every machine.

mod axis;
mod panels;

pub use panels::{Colour, Line, Panel, Panels, Stroke};

use anyhow::Context;
use plotters::{
    coord::{Shift, types::RangedCoordf64},
    element::DashedPathElement,
    prelude::*,
    style::{
        FontStyle, register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};
use resvg::{tiny_skia, usvg};
use std::sync::Arc;

const SIZE: (u32, u32) = (900, 560);
/// PNGs have so many pixels for each unit of the SVG.
const PNG_SCALE: f32 = 2.0;
/// But no more than this, 256 MiB.
const MOST_PIXELS: f32 = 67_108_864.0;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(50, 50, 50);
const NOTHING: RGBColor = RGBColor(225, 225, 225);
/// Colours that colour-blind readers can tell apart (Okabe and Ito, 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// How the points of a curve are joined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Look {
    /// Straight lines.
    Line,
    /// A value holds up to the next point.
    Steps,
    /// Not at all.
    Dots,
}

/// Points to draw, each with a label that may be empty.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What it is, for the legend.
    pub name: String,
    /// How its points are joined.
    pub look: Look,
    /// In drawing order.
    pub points: Vec<(f64, f64)>,
    /// One for each point, or none.
    pub labels: Vec<String>,
}

/// A picture.
#[derive(Clone, Debug)]
pub enum Picture {
    /// Curves over one axis.
    Curves {
        /// Above it.
        title: String,
        /// Names of both axes, with units.
        axes: [String; 2],
        /// Whether the horizontal axis shows logarithms to base 10 of its values.
        log_x: bool,
        /// What to draw.
        curves: Vec<Curve>,
    },
    /// Colours over two axes.
    Map {
        /// Above it.
        title: String,
        /// Names of both axes and of what the colours stand for, with units.
        axes: [String; 3],
        /// Left, right, lower and upper end, and the value, if there is one.
        cells: Vec<([f64; 4], Option<f64>)>,
        /// What a cell without a value means.
        empty: String,
        /// Points with labels on it.
        marks: Vec<((f64, f64), String)>,
    },
    /// Charts side by side.
    Panels(Panels),
}

impl Picture {
    fn size(&self) -> (u32, u32) {
        match self {
            Self::Panels(panels) => panels.size(),
            _ => SIZE,
        }
    }

    /// As SVG.
    ///
    /// # Errors
    /// Nothing to draw.
    pub fn svg(&self) -> anyhow::Result<String> {
        let fonts = [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())];
        for (style, bytes) in fonts {
            anyhow::ensure!(register_font(FONT, style, bytes).is_ok(), "the built-in font cannot be read");
        }
        let mut svg = String::new();
        let (width, height) = self.size();
        let fine = if matches!(self, Self::Panels(_)) { panels::FINE } else { 1 };
        let drawn = (width * fine, height * fine);
        let canvas = SVGBackend::with_string(&mut svg, drawn).into_drawing_area();
        canvas.fill(&WHITE)?;
        match self {
            Self::Curves { title, axes, log_x, curves } => draw_curves(&canvas, title, axes, *log_x, curves)?,
            Self::Map { title, axes, cells, empty, marks } => draw_map(&canvas, title, axes, cells, empty, marks)?,
            Self::Panels(panels) => panels.draw(&canvas)?,
        }
        canvas.present()?;
        drop(canvas);
        let size = |(width, height)| format!("width=\"{width}\" height=\"{height}\"");
        Ok(svg.replacen(&size(drawn), &size((width, height)), 1))
    }

    /// As PNG: the SVG, rendered.
    ///
    /// # Errors
    /// Nothing to draw.
    pub fn png(&self) -> anyhow::Result<Vec<u8>> {
        let mut options = usvg::Options::default();
        for font in [dejavu::sans::regular(), dejavu::sans::bold()] {
            options.fontdb_mut().load_font_source(usvg::fontdb::Source::Binary(Arc::new(font)));
        }
        options.fontdb_mut().set_sans_serif_family("DejaVu Sans");
        let tree = usvg::Tree::from_str(&self.svg()?, &options)?;
        let (width, height) = self.size();
        let scale = PNG_SCALE.min((MOST_PIXELS / (width as f32 * height as f32)).sqrt());
        let (width, height) = (width as f32 * scale, height as f32 * scale);
        let mut pixels = tiny_skia::Pixmap::new(width as u32, height as u32).context("a picture has pixels")?;
        resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut pixels.as_mut());
        Ok(pixels.encode_png()?)
    }
}

fn text(size: f64) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

/// Values beyond are not drawn: plotters has 32 bits for a place.
const LARGEST: f64 = 1e100;

/// The range of some values with a margin; `None` when there are none. It is wide enough beside its numbers for ticks.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> Option<std::ops::Range<f64>> {
    let values = values.filter(|value| value.abs() <= LARGEST);
    let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), value| (a.min(value), b.max(value)));
    let wide = most - least > 1e-9 * least.abs().max(most.abs());
    let room = if wide { (most - least) * margin } else { most.abs().max(1.0) * 0.05 };
    (least <= most).then_some(least - room..most + room)
}

/// A foreign name as it may stand in a picture: without what XML cannot hold, and no longer than this.
fn shown(name: &str) -> String {
    const MOST: usize = 80;
    let plain = |c: char| if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) { '\u{fffd}' } else { c };
    let mut name: String = name.chars().map(plain).collect();
    if let Some((end, _)) = name.char_indices().nth(MOST) {
        name.truncate(end);
        name.push('…');
    }
    name
}

/// A tick's number: as few digits as tell ticks apart that are this far from zero.
fn tick(value: f64) -> String {
    let rounded = format!("{value:.4}");
    match rounded.trim_end_matches('0').trim_end_matches('.') {
        "" | "-0" => "0".to_owned(),
        short => short.to_owned(),
    }
}

fn chart<'a, 'b>(
    canvas: &'a Canvas<'b>,
    title: &str,
    x: std::ops::Range<f64>,
    y: std::ops::Range<f64>,
) -> anyhow::Result<Chart<'a, 'b>> {
    Ok(ChartBuilder::on(canvas)
        .caption(title, text(17.0))
        .margin(14)
        .x_label_area_size(52)
        .y_label_area_size(74)
        .build_cartesian_2d(x, y)?)
}

fn mesh(chart: &mut Chart, axes: [&str; 2], log_x: bool, lines: bool) -> anyhow::Result<()> {
    let x_tick = |value: &f64| if log_x { tick_of_log(*value) } else { tick(*value) };
    let y_tick = |value: &f64| tick(*value);
    let mut mesh = chart.configure_mesh();
    if !lines {
        mesh.disable_mesh();
    }
    mesh.x_labels(9)
        .y_labels(9)
        .max_light_lines(0)
        .bold_line_style(INK.mix(0.13))
        .axis_style(INK)
        .x_desc(axes[0])
        .y_desc(axes[1])
        .axis_desc_style(text(15.0))
        .label_style(text(13.0))
        .x_label_formatter(&x_tick)
        .y_label_formatter(&y_tick)
        .draw()?;
    Ok(())
}

fn tick_of_log(value: f64) -> String {
    let value = 10f64.powf(value);
    let decimals = (1.0 - value.log10().floor()).clamp(0.0, 9.0) as usize;
    tick(format!("{value:.decimals$}").parse().unwrap_or(value))
}

fn draw_curves(canvas: &Canvas, title: &str, axes: &[String; 2], log_x: bool, curves: &[Curve]) -> anyhow::Result<()> {
    let place = |&(x, y): &(f64, f64)| if log_x { (x.log10(), y) } else { (x, y) };
    let small = |&(x, y): &(f64, f64)| x.abs() <= LARGEST && y.abs() <= LARGEST;
    let all = || curves.iter().flat_map(|curve| &curve.points).map(place).filter(small);
    let nothing = || anyhow::anyhow!("{title}: there is nothing to draw");
    let (x, y) = (range(all().map(|(x, _)| x), 0.05), range(all().map(|(_, y)| y), 0.08));
    let (x, mut y) = (x.ok_or_else(nothing)?, y.ok_or_else(nothing)?);
    if curves.len() > 1 {
        // Room for the legend above everything that is drawn.
        y.end += (y.end - y.start) * (0.04 + 0.06 * curves.len() as f64);
    }
    let mut chart = chart(canvas, title, x, y)?;
    mesh(&mut chart, [&axes[0], &axes[1]], log_x, true)?;
    let mut labelled = vec![];
    for (curve, colour) in curves.iter().zip(COLOURS.into_iter().cycle()) {
        let points: Vec<(f64, f64)> = curve.points.iter().map(place).filter(small).collect();
        let joined = match curve.look {
            Look::Line => points.clone(),
            Look::Dots => vec![],
            Look::Steps => {
                let corner = |pair: &[(f64, f64)]| [pair[0], (pair[1].0, pair[0].1)];
                points.windows(2).flat_map(corner).chain(points.last().copied()).collect()
            }
        };
        let (look, size) = (curve.look, if points.len() > 150 { 2 } else { 4 });
        chart.draw_series(LineSeries::new(joined, colour.stroke_width(2)))?;
        let dots = points.iter().map(|&point| match look {
            Look::Dots => TriangleMarker::new(point, 6, colour.filled()).into_dyn(),
            _ => Circle::new(point, size, colour.filled()).into_dyn(),
        });
        chart.draw_series(dots)?.label(&curve.name).legend(move |(x, y)| match look {
            Look::Dots => TriangleMarker::new((x + 12, y), 6, colour.filled()).into_dyn(),
            _ => DashedPathElement::new(vec![(x, y), (x + 24, y)], 24, 0, colour.stroke_width(2)).into_dyn(),
        });
        let labels = curve.points.iter().map(place).zip(&curve.labels);
        let labels = labels.filter(|(point, label)| small(point) && !label.is_empty());
        labelled.extend(labels.map(|(point, label)| (point, label.as_str())));
    }
    labels(&mut chart, &labelled)?;
    if curves.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.9))
            .border_style(INK.mix(0.4))
            .legend_area_size(32)
            .label_font(text(13.0))
            .margin(8)
            .draw()?;
    }
    Ok(())
}

/// Labels beside their points; one that would lie over an earlier one is left out.
fn labels(chart: &mut Chart, labelled: &[((f64, f64), &str)]) -> anyhow::Result<()> {
    const HEIGHT: i32 = 14;
    let style = text(12.0).pos(Pos::new(HPos::Left, VPos::Center));
    let mut taken: Vec<[i32; 4]> = vec![];
    for &(point, label) in labelled {
        let (x, y) = chart.backend_coord(&point);
        let (width, _) = chart.plotting_area().estimate_text_size(label, &style)?;
        let shift = [(9, 0), (9, -10), (9, 11), (-(width as i32) - 9, 0)].into_iter().find(|&(right, down)| {
            let area = [x + right, x + right + width as i32, y + down - HEIGHT / 2, y + down + HEIGHT / 2];
            let free = taken.iter().all(|o| area[1] < o[0] || area[0] > o[1] || area[3] < o[2] || area[2] > o[3]);
            free.then(|| taken.push(area)).is_some()
        });
        if let Some(shift) = shift {
            let (right, down) = shift;
            let box_of = [(right - 2, down - HEIGHT / 2), (right + width as i32 + 2, down + HEIGHT / 2)];
            let element = EmptyElement::at(point)
                + Rectangle::new(box_of, WHITE.mix(0.75).filled())
                + Text::new(label.to_owned(), shift, style.clone());
            chart.draw_series(std::iter::once(element))?;
        }
    }
    Ok(())
}

fn draw_map(
    canvas: &Canvas,
    title: &str,
    axes: &[String; 3],
    cells: &[([f64; 4], Option<f64>)],
    empty: &str,
    marks: &[((f64, f64), String)],
) -> anyhow::Result<()> {
    let nothing = || anyhow::anyhow!("{title}: there is nothing to draw");
    let edges = |which: [usize; 2]| range(cells.iter().flat_map(move |(ends, _)| which.map(|end| ends[end])), 0.0);
    let values = range(cells.iter().filter_map(|(_, value)| *value), 0.0).ok_or_else(nothing)?;
    let (left, right) = canvas.split_horizontally(SIZE.0 - 120);
    let mut map = chart(&left, title, edges([0, 1]).ok_or_else(nothing)?, edges([2, 3]).ok_or_else(nothing)?)?;
    let share = |value: f64| (value - values.start) / (values.end - values.start);
    let colour = |value: f64| ViridisRGB.get_color(1.0 - share(value));
    map.draw_series(cells.iter().map(|&([x0, x1, y0, y1], value)| {
        let colour = value.map_or(NOTHING, colour);
        Rectangle::new([(x0, y0), (x1, y1)], colour.filled())
    }))?;
    mesh(&mut map, [&axes[0], &axes[1]], false, false)?;
    for &(point, _) in marks {
        map.draw_series([Circle::new(point, 4, WHITE.filled()), Circle::new(point, 4, BLACK.stroke_width(1))])?;
    }
    labels(&mut map, &marks.iter().map(|(point, label)| (*point, label.as_str())).collect::<Vec<_>>())?;
    let mut bar = ChartBuilder::on(&right)
        .margin(14)
        .margin_left(8)
        .margin_top(44)
        .margin_bottom(66)
        .right_y_label_area_size(70)
        .build_cartesian_2d(0.0..1.0, values.clone())?;
    const SHADES: usize = 64;
    let step = (values.end - values.start) / SHADES as f64;
    bar.draw_series((0..SHADES).map(|place| {
        let low = values.start + step * place as f64;
        Rectangle::new([(0.0, low), (1.0, low + step)], colour(low + step / 2.0).filled())
    }))?;
    let y_tick = |value: &f64| format!(" {}", tick(*value));
    bar.configure_mesh()
        .disable_mesh()
        .set_tick_mark_size(LabelAreaPosition::Right, 4)
        .disable_x_axis()
        .y_labels(9)
        .y_desc(&axes[2])
        .axis_desc_style(text(15.0))
        .label_style(text(13.0))
        .y_label_formatter(&y_tick)
        .draw()?;
    if cells.iter().any(|(_, value)| value.is_none()) {
        let (x, y) = (SIZE.0 as i32 - 118, SIZE.1 as i32 - 46);
        canvas.draw(&Rectangle::new([(x, y), (x + 14, y + 14)], NOTHING.filled()))?;
        canvas.draw_text(empty, &text(13.0), (x + 19, y))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves(points: Vec<(f64, f64)>) -> Picture {
        let curve = |name: &str, look| Curve {
            name: name.to_owned(),
            look,
            labels: points.iter().map(|(x, _)| format!("at {x}")).collect(),
            points: points.clone(),
        };
        let curves = vec![curve("one", Look::Steps), curve("two", Look::Dots)];
        Picture::Curves {
            title: "A & <B>".to_owned(),
            axes: ["size, MiB", "objective"].map(str::to_owned),
            log_x: false,
            curves,
        }
    }

    #[test]
    fn text_stays_text_in_svg_and_is_drawn_in_png() {
        let picture = curves(vec![(1.0, 3.0), (2.0, 2.0)]);
        let svg = picture.svg().unwrap();
        for words in ["<text", "size, MiB", "objective", "A &amp; &lt;B&gt;"] {
            assert!(svg.contains(words), "{words} is not in {svg}");
        }
        let png = picture.png().unwrap();
        assert!(png.starts_with(b"\x89PNG"));
        assert_eq!(svg, picture.svg().unwrap());
        assert_eq!(png, picture.png().unwrap());
    }

    #[test]
    fn one_point_is_enough_and_none_is_too_few() {
        curves(vec![(1.0, 0.0)]).svg().unwrap();
        assert!(curves(vec![]).svg().unwrap_err().to_string().contains("nothing to draw"));
    }

    /// plotters does not end where steps vanish beside the numbers, and panics at NaN (plotters-rs/plotters#562 and others).
    #[test]
    fn values_of_any_size_end() {
        let extremes = [f64::MAX, -f64::MAX, 1e100, 1e-300, 1e16, 1e16 + 2.0, f64::INFINITY, f64::NAN, 0.0];
        for (place, &one) in extremes.iter().enumerate() {
            for &other in &extremes[..place] {
                // Nothing at all to draw is an error, not a panic.
                let _ = curves(vec![(one, other), (other, one)]).svg();
                let _ = curves(vec![(one, 1.0), (other, 1.0)]).svg();
                curves(vec![(one, other), (1.0, 2.0)]).svg().unwrap();
            }
        }
        let near = range([1e16, 1e16 + 2.0].into_iter(), 0.0).unwrap();
        assert!(near.start < 0.96e16 && near.end > 1.04e16, "{near:?}");
    }

    #[test]
    fn foreign_names_are_cut_and_fit_for_xml() {
        assert_eq!(shown("conv1\0\u{1b}[31m\u{ffff}\n"), "conv1\u{fffd}\u{fffd}[31m\u{fffd}\u{fffd}");
        assert_eq!(shown(&"ä".repeat(1 << 20)), format!("{}…", "ä".repeat(80)));
    }

    #[test]
    fn ticks_are_short() {
        let shown: Vec<_> = [0.0, -0.000_01, 4.0, 4.25, 4.100_000_001, 1200.0].map(tick).into();
        assert_eq!(shown, ["0", "0", "4", "4.25", "4.1", "1200"]);
        assert_eq!([0.0, 1.0, -1.0, 0.31].map(tick_of_log), ["1", "10", "0.1", "2"]);
    }
}
