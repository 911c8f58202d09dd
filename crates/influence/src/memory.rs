//! Memory: what a scan leaves for that of the run's next checkpoint.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use half::bf16;

use crate::error::InfluenceError;

/// How the forks of a run were moved at its last scanned checkpoint, by direction and probe fold.
///
/// One checkpoint is much like the one before, and so is what the probe has to teach it: forks that start from where
/// the last ones went need a few steps only. An empty memory is always valid; the forks are then taught from the
/// beginning.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// # let config = ScanConfig {
/// #     estimators: vec![Estimator::parse::<Line>("finetune:after")?],
/// #     folds: 2,
/// #     batch_size: 32,
/// #     seed: 0,
/// #     device: device.clone(),
/// # };
/// let mut memory = Memory::default();
/// let first = scan_next(&task, &model, &labels, &config, &mut memory, &|_| (), &cancel)?;
/// assert_eq!(memory.len(), config.folds);
/// // To be continued, after a restart maybe.
/// let mut memory = Memory::from_bytes(&memory.to_bytes())?;
/// let second = scan_next(&task, &model, &labels, &config, &mut memory, &|_| (), &cancel)?;
/// assert!(second.estimates[0].choices[0].starts_with("10 steps from the last"));
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    changes: BTreeMap<(String, u32), Change>,
}

/// What bytes of a memory begin with.
const MAGIC: &[u8; 8] = b"MWFORKS1";

impl Memory {
    /// The number of forks remembered.
    ///
    /// ```
    /// # use mirrorwatch_influence::Memory;
    /// assert_eq!(Memory::default().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether no fork is remembered.
    ///
    /// ```
    /// # use mirrorwatch_influence::Memory;
    /// assert!(Memory::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What is remembered of the fork of `direction` that has not seen `fold`.
    pub(crate) fn of(&self, direction: &str, fold: usize) -> Option<&Change> {
        self.changes.get(&(direction.to_string(), fold as u32))
    }

    /// Remembers a change instead of the one before.
    pub(crate) fn keep(&mut self, direction: &str, fold: usize, change: Change) {
        self.changes
            .insert((direction.to_string(), fold as u32), change);
    }

    /// As bytes, two for each weight and fork.
    ///
    /// ```
    /// # use mirrorwatch_influence::Memory;
    /// assert_eq!(Memory::default().to_bytes().len(), 12);
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((self.changes.len() as u32).to_le_bytes());
        for ((direction, fold), change) in &self.changes {
            bytes.extend((direction.len() as u32).to_le_bytes());
            bytes.extend(direction.as_bytes());
            bytes.extend(fold.to_le_bytes());
            bytes.extend(change.steps.to_le_bytes());
            bytes.extend((change.values.len() as u64).to_le_bytes());
            for value in &change.values {
                bytes.extend(value.to_le_bytes());
            }
        }
        bytes
    }

    /// Reads what [`Memory::to_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// Bytes of something else, or that end too early or too late.
    ///
    /// ```
    /// # use mirrorwatch_influence::Memory;
    /// let bytes = Memory::default().to_bytes();
    /// assert!(Memory::from_bytes(&bytes).is_ok_and(|memory| memory.is_empty()));
    /// assert!(Memory::from_bytes(&bytes[..10]).is_err());
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InfluenceError> {
        read(bytes).ok_or_else(|| {
            InfluenceError::Data(
                "these are no remembered forks of this version; scan without them, which takes longer once"
                    .to_string(),
            )
        })
    }
}

fn read(bytes: &[u8]) -> Option<Memory> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut take = |count: usize| -> Option<&[u8]> {
        let (taken, left) = rest.split_at_checked(count)?;
        rest = left;
        Some(taken)
    };
    let mut memory = Memory::default();
    let forks = u32::from_le_bytes(take(4)?.try_into().ok()?);
    for _ in 0..forks {
        let length = u32::from_le_bytes(take(4)?.try_into().ok()?);
        let direction = String::from_utf8(take(length as usize)?.to_vec()).ok()?;
        let fold = u32::from_le_bytes(take(4)?.try_into().ok()?);
        let steps = u64::from_le_bytes(take(8)?.try_into().ok()?);
        let count = u64::from_le_bytes(take(8)?.try_into().ok()?);
        // Asked for before anything is allocated: a damaged count ends here.
        let values = take(usize::try_from(count).ok()?.checked_mul(2)?)?;
        let mut change = Change {
            steps,
            values: Vec::with_capacity(values.len() / 2),
        };
        for value in values.chunks_exact(2) {
            change
                .values
                .push(bf16::from_le_bytes(value.try_into().ok()?));
        }
        memory.changes.insert((direction, fold), change);
    }
    rest.is_empty().then_some(memory)
}

/// A fork's weights less those of the model it was made from.
///
/// Kept in half the bytes of a weight (bfloat16): a change is small beside the weights, and eight bits of it are
/// enough to start from. It is rounded before it is used, so that it makes no difference whether it has been on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Optimizer steps that went into it since the forks were first taught.
    steps: u64,
    values: Vec<bf16>,
}

impl Change {
    /// Between two forks of one model, or of forks and what became of them.
    pub(crate) fn between<M: Module>(from: &M, to: &M, steps: u64) -> Result<Self, InfluenceError> {
        let (from, to) = (weights(from)?, weights(to)?);
        let pairs = from.iter().zip(&to);
        Ok(Self {
            steps,
            values: pairs.map(|(from, to)| bf16::from_f32(to - from)).collect(),
        })
    }

    /// Steps so far.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// A fork moved by `share` of the change; none where the change is that of another architecture, or not finite.
    pub(crate) fn applied<M: Module>(&self, fork: M, share: f32) -> Option<M> {
        let finite = self.values.iter().all(|value| value.is_finite());
        if !finite || count(&fork) != self.values.len() {
            return None;
        }
        Some(fork.map(&mut Mover {
            rest: &self.values,
            share,
        }))
    }
}

/// The trained weights of a fork one after the other; buffers have no gradient and stay out.
fn weights<M: Module>(fork: &M) -> Result<Vec<f32>, InfluenceError> {
    let mut reader = Reader::default();
    fork.visit(&mut reader);
    match reader.failed {
        Some(why) => Err(InfluenceError::Outputs(format!(
            "cannot read a fork's weights: {why}"
        ))),
        None => Ok(reader.values),
    }
}

#[derive(Default)]
struct Reader {
    values: Vec<f32>,
    failed: Option<String>,
}

impl ModuleVisitor for Reader {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.val().is_require_grad() {
            return;
        }
        let data = param.val().without_autodiff().into_data();
        match data.convert::<f32>().try_to_vec::<f32>() {
            Ok(values) => self.values.extend(values),
            Err(error) => self.failed = Some(format!("{error:?}")),
        }
    }
}

fn count<M: Module>(fork: &M) -> usize {
    struct Count(usize);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.val().is_require_grad() {
                self.0 += param.val().dims().iter().product::<usize>();
            }
        }
    }
    let mut count = Count(0);
    fork.visit(&mut count);
    count.0
}

struct Mover<'a> {
    /// What has not been handed out yet.
    rest: &'a [bf16],
    share: f32,
}

impl ModuleMapper for Mover<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.val().is_require_grad() {
            return param;
        }
        param.map(|weights| {
            let weights = weights.without_autodiff();
            let (own, rest) = self.rest.split_at(weights.dims().iter().product());
            self.rest = rest;
            let change: Vec<f32> = own.iter().map(|v| self.share * v.to_f32()).collect();
            let change = Tensor::from_data(
                TensorData::new(change, weights.dims()),
                (&weights.device(), weights.dtype()),
            );
            Tensor::from_inner(weights + change).require_grad()
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    use super::*;
    use crate::model::fork;

    fn linear(inputs: usize) -> Linear {
        LinearConfig::new(inputs, 2).init(&Device::flex())
    }

    fn remembered() -> Memory {
        let (from, to) = (fork(&linear(3)), fork(&linear(3)));
        let mut memory = Memory::default();
        let change = Change::between(&from, &to, 320).unwrap();
        memory.keep("finetune", 0, change.clone());
        memory.keep(
            "finetune",
            1,
            Change {
                steps: 40,
                ..change
            },
        );
        memory
    }

    #[test]
    fn a_change_leads_from_one_fork_to_the_other() {
        let (from, to) = (fork(&linear(3)), fork(&linear(3)));
        let change = Change::between(&from, &to, 10).unwrap();
        let (start, end) = (weights(&from).unwrap(), weights(&to).unwrap());
        assert_eq!((start.len(), change.steps()), (8, 10));
        for share in [0.0, 0.5, 1.0] {
            let moved = weights(&change.applied(from.clone(), share).unwrap()).unwrap();
            for ((moved, start), end) in moved.iter().zip(&start).zip(&end) {
                let wanted = start + share * (end - start);
                // Eight bits of the change.
                assert!((moved - wanted).abs() <= (end - start).abs() / 250.0);
            }
        }
    }

    #[test]
    fn a_change_of_another_architecture_or_without_sense_is_not_applied() {
        let (from, to) = (fork(&linear(3)), fork(&linear(3)));
        let mut change = Change::between(&from, &to, 10).unwrap();
        assert!(change.applied(fork(&linear(4)), 1.0).is_none());
        change.values[3] = bf16::INFINITY;
        assert!(change.applied(from, 1.0).is_none());
    }

    #[test]
    fn bytes_come_back_whole_or_not_at_all() {
        let memory = remembered();
        let bytes = memory.to_bytes();
        assert_eq!(Memory::from_bytes(&bytes).unwrap(), memory);
        for length in 0..bytes.len() {
            assert!(Memory::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(Memory::from_bytes(&longer).is_err());
        // A count beyond all bounds is refused before anything is allocated.
        let mut absurd = bytes.clone();
        let at = 8 + 4 + 4 + "finetune".len() + 4 + 8;
        absurd[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(Memory::from_bytes(&absurd).is_err());
    }
}
