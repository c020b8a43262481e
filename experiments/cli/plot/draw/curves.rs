//! Curves over one axis.

use super::{
    super::{Curve, Look},
    chart::{COLOURS, Canvas, INK, LARGEST, chart, labels, mesh, range, text},
};
use plotters::{element::DashedPathElement, prelude::*};

pub(super) fn draw(
    canvas: &Canvas,
    title: &str,
    axes: &[String; 2],
    log_x: bool,
    curves: &[Curve],
) -> anyhow::Result<()> {
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
