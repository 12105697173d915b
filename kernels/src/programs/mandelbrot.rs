//! `mandelbrot`: loops whose lanes leave at different times.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle, Work, WorkUnit};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "mandelbrot",
    "escape steps of an image: divergent loops, partial work-groups in two dimensions",
    Sizes { unit: "pixels of width", small: 50, default: 256, max: 8192 },
    case
);

const TILE: u16 = 16;
const STEPS_MAX: u32 = 256;

fn case(width: u32, seed: u64) -> Case {
    let mut random = Random::new(seed);
    let height = (width * 3).div_ceil(4);
    // A window three wide on the whole set, nudged by the seed.
    let view = Mandelbrot {
        width,
        height,
        left: -2.25 + random.unit() / 16.0,
        top: -1.125 + random.unit() / 16.0,
        pitch: 3.0 / width as f32,
    };
    let steps = view.steps();
    Case {
        kernel: KERNEL.name,
        grid: [width, height, 1],
        workgroup: [TILE, TILE, 1],
        dynamic_lds: 0,
        buffers: vec![Buffer::output("steps", Element::U32, steps.len())],
        args: vec![
            Arg::buffer(0),
            Arg::U32(width),
            Arg::U32(height),
            Arg::U32(STEPS_MAX),
            Arg::F32(view.left),
            Arg::F32(view.top),
            Arg::F32(view.pitch),
        ],
        ending: Ending::Completes,
        work: Some(Work { amount: steps.iter().copied().map(u64::from).sum(), unit: WorkUnit::Steps }),
        oracle: Arc::new(view),
    }
}

#[derive(Debug)]
struct Mandelbrot {
    width: u32,
    height: u32,
    left: f32,
    top: f32,
    pitch: f32,
}

impl Mandelbrot {
    fn steps(&self) -> Vec<u32> {
        let at = |pixel: u32, origin: f32| (pixel as f32).mul_add(self.pitch, origin);
        (0..self.height)
            .flat_map(|py| (0..self.width).map(move |px| escape(at(px, self.left), at(py, self.top))))
            .collect()
    }
}

impl Oracle for Mandelbrot {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        vec![(0, before[0].expect_u32(&self.steps()))]
    }
}

/// Counts the steps of z -> z^2 + c that start within radius 2, in the order of roundings the program promises:
/// squares apart, their difference plus the real part, and one fused step for the imaginary part.
fn escape(cx: f32, cy: f32) -> u32 {
    let orbit =
        std::iter::successors(Some((0.0f32, 0.0f32)), |&(x, y)| Some((x * x - y * y + cx, (2.0 * x).mul_add(y, cy))));
    orbit.take(STEPS_MAX as usize).take_while(|(x, y)| x * x + y * y <= 4.0).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points_escape_when_they_should() {
        assert_eq!(escape(0.0, 0.0), STEPS_MAX);
        assert_eq!(escape(-1.0, 0.0), STEPS_MAX, "period two");
        // 0, 1, 2, 5: three of them within radius 2.
        assert_eq!(escape(1.0, 0.0), 3);
        assert_eq!(escape(3.0, 0.0), 1);
    }
}
