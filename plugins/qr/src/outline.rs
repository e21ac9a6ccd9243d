//! Where a code lies: the points that a reader found, as an outline to be drawn.

use rxing::Point;

use crate::Corner;

/// The points in the order of an outline; readers give the last two in either order.
pub(crate) fn of(points: &[Point]) -> Vec<Corner> {
    let finite = |point: &&Point| point.x.is_finite() && point.y.is_finite();
    let mut corners: Vec<_> = points.iter().filter(finite).map(corner).collect();
    if let [a, b, c, d] = corners[..]
        && turn(a, b, c) * turn(b, c, d) < 0.0
    {
        corners.swap(2, 3);
    }
    corners
}

/// The height of the topmost corner.
pub(crate) fn top(corners: &[Corner]) -> f32 {
    let heights = corners.iter().map(|corner| corner.y);
    heights.fold(f32::INFINITY, f32::min)
}

/// Whether two outlines are of the same place: their centres are nearer than half a diameter.
pub(crate) fn overlap(a: &[Corner], b: &[Corner]) -> bool {
    let pairs = a.iter().flat_map(|p| a.iter().map(|q| distance(*p, *q)));
    let diameter = pairs.fold(0.0, f32::max);
    distance(centre(a), centre(b)) <= diameter / 2.0
}

/// A tenth of a pixel is more than any reader knows.
fn corner(point: &Point) -> Corner {
    let round = |pixels: f32| (pixels * 10.0).round() / 10.0;
    Corner {
        x: round(point.x),
        y: round(point.y),
    }
}

/// Positive for a turn to the right on the way from `a` by `b` to `c`, negative to the left.
fn turn(a: Corner, b: Corner, c: Corner) -> f32 {
    (b.x - a.x) * (c.y - b.y) - (b.y - a.y) * (c.x - b.x)
}

fn centre(corners: &[Corner]) -> Corner {
    let count = corners.len().max(1) as f32;
    let sum = |pixels: fn(&Corner) -> f32| corners.iter().map(pixels).sum::<f32>();
    Corner {
        x: sum(|corner| corner.x) / count,
        y: sum(|corner| corner.y) / count,
    }
}

fn distance(a: Corner, b: Corner) -> f32 {
    (a.x - b.x).hypot(a.y - b.y)
}
