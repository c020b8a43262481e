//! Drawing: SVG by `plotters`, and the same picture as PNG by `resvg`. DejaVu Sans is built in, so that pictures look
//! the same on every machine.

mod axis;
mod chart;
mod curves;
mod map;
mod panels;

use super::Picture;
use anyhow::Context;
use chart::{FONT, SIZE};
use plotters::{
    prelude::*,
    style::{FontStyle, register_font},
};
use resvg::{tiny_skia, usvg};
use std::sync::Arc;

/// Pixels of a PNG per unit of the SVG.
const PNG_SCALE: f32 = 2.0;
/// Most pixels of a PNG, 256 MiB.
const MOST_PIXELS: f32 = 67_108_864.0;

fn size(picture: &Picture) -> (u32, u32) {
    match picture {
        Picture::Panels(panels) => panels.size(),
        _ => SIZE,
    }
}

/// As SVG.
pub(super) fn svg(picture: &Picture) -> anyhow::Result<String> {
    let fonts = [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())];
    for (style, bytes) in fonts {
        anyhow::ensure!(register_font(FONT, style, bytes).is_ok(), "the built-in font cannot be read");
    }
    let mut svg = String::new();
    let (width, height) = size(picture);
    let fine = if matches!(picture, Picture::Panels(_)) { panels::FINE } else { 1 };
    let drawn = (width * fine, height * fine);
    let canvas = SVGBackend::with_string(&mut svg, drawn).into_drawing_area();
    canvas.fill(&WHITE)?;
    match picture {
        Picture::Curves { title, axes, log_x, curves } => curves::draw(&canvas, title, axes, *log_x, curves)?,
        Picture::Map { title, axes, cells, empty, marks } => map::draw(&canvas, title, axes, cells, empty, marks)?,
        Picture::Panels(panels) => panels.draw(&canvas)?,
    }
    canvas.present()?;
    drop(canvas);
    let size_text = |(width, height)| format!("width=\"{width}\" height=\"{height}\"");
    Ok(svg.replacen(&size_text(drawn), &size_text((width, height)), 1))
}

/// As PNG: the SVG, rendered.
pub(super) fn png(picture: &Picture) -> anyhow::Result<Vec<u8>> {
    let mut options = usvg::Options::default();
    for font in [dejavu::sans::regular(), dejavu::sans::bold()] {
        options.fontdb_mut().load_font_source(usvg::fontdb::Source::Binary(Arc::new(font)));
    }
    options.fontdb_mut().set_sans_serif_family("DejaVu Sans");
    let tree = usvg::Tree::from_str(&svg(picture)?, &options)?;
    let (width, height) = size(picture);
    let scale = PNG_SCALE.min((MOST_PIXELS / (width as f32 * height as f32)).sqrt());
    let (width, height) = (width as f32 * scale, height as f32 * scale);
    let mut pixels = tiny_skia::Pixmap::new(width as u32, height as u32).context("a picture has pixels")?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut pixels.as_mut());
    Ok(pixels.encode_png()?)
}

#[cfg(test)]
mod tests {
    use super::super::{Curve, Look};
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

    /// plotters does not terminate if ticks vanish against the values, and panics at NaN (plotters-rs/plotters#562 and
    /// others).
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
    }
}
