//! K-means with k-means++ seeding. Ours, because the answer must not change when a generator of
//! random numbers in somebody else's crate does.

use bulkhead_plugin::{Context, Error};

use crate::oklab::Lab;

/// Rounds until we take what we have; most pictures settle before.
const ROUNDS: usize = 32;

/// The square of a step that no eye and no byte of a channel would show.
const STILL: f64 = 1e-7;

/// The points nearest to a centre.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cluster {
    pub(crate) centre: Lab,
    pub(crate) size: usize,
}

/// At most `count` clusters, the largest first; none is empty.
pub(crate) fn clusters(
    points: &[Lab],
    count: usize,
    seed: u32,
    context: &Context<'_>,
) -> Result<Vec<Cluster>, Error> {
    let mut clusters = seed_centres(points, count, seed);
    for _ in 0..ROUNDS {
        context.check_cancelled()?;
        let next = round(points, &clusters);
        let is_settled = is_still(&clusters, &next);
        clusters = next;
        if is_settled {
            break;
        }
    }
    // Stable, so that equal shares keep the order in which they were found.
    clusters.sort_by_key(|cluster| std::cmp::Reverse(cluster.size));
    Ok(clusters)
}

fn is_still(before: &[Cluster], after: &[Cluster]) -> bool {
    let mut pairs = before.iter().zip(after);
    before.len() == after.len() && pairs.all(|(a, b)| a.centre.distance(b.centre) < STILL)
}

/// Gathers every point at its nearest centre, and moves each centre to the mean of its points.
fn round(points: &[Lab], clusters: &[Cluster]) -> Vec<Cluster> {
    let mut sums = vec![([0.0; 3], 0_usize); clusters.len()];
    for point in points {
        let (sum, size) = &mut sums[nearest(*point, clusters)];
        sum.iter_mut()
            .zip(point.0)
            .for_each(|(sum, part)| *sum += part);
        *size += 1;
    }
    let filled = sums.into_iter().filter(|(_, size)| *size > 0);
    filled
        .map(|(sum, size)| Cluster {
            centre: Lab(sum.map(|part| part / size as f64)),
            size,
        })
        .collect()
}

fn nearest(point: Lab, clusters: &[Cluster]) -> usize {
    let distances = clusters
        .iter()
        .map(|cluster| cluster.centre.distance(point));
    let nearest = distances
        .enumerate()
        .min_by(|(_, a), (_, b)| a.total_cmp(b));
    nearest.map_or(0, |(index, _)| index)
}

/// The first centre by chance, each further one by chance too, the farther from all others the
/// likelier. Stops when every point is a centre.
fn seed_centres(points: &[Lab], count: usize, seed: u32) -> Vec<Cluster> {
    let mut random = SplitMix(seed.into());
    let mut distances = vec![1.0; points.len()];
    let mut centres = Vec::new();
    while centres.len() < count {
        let Some(centre) = choose(points, &distances, random.fraction()) else {
            break;
        };
        for (distance, point) in distances.iter_mut().zip(points) {
            let fresh = point.distance(centre);
            *distance = if centres.is_empty() {
                fresh
            } else {
                fresh.min(*distance)
            };
        }
        centres.push(Cluster { centre, size: 0 });
    }
    centres
}

/// The point at this fraction of the sum of all weights; none where no point has weight.
fn choose(points: &[Lab], weights: &[f64], fraction: f64) -> Option<Lab> {
    let mut left = weights.iter().sum::<f64>() * fraction;
    let mut weighted = points
        .iter()
        .zip(weights)
        .filter(|(_, weight)| **weight > 0.0);
    let last = weighted.clone().next_back();
    let chosen = weighted.find(|(_, weight)| {
        left -= **weight;
        left < 0.0
    });
    // Rounding may leave a little over.
    chosen.or(last).map(|(point, _)| *point)
}

/// Steele, Lea and Flood's generator: small, and the same for ever.
struct SplitMix(u64);

impl SplitMix {
    /// A number from 0 up to but not including 1.
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}
