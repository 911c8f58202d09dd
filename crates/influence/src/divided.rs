//! A task of which a process sees only its share of the training samples.

use std::sync::Arc;

use burn::data::dataset::{Dataset, DatasetError};
use burn::tensor::{Device, Tensor};

use crate::preview::Preview;
use crate::task::Task;

/// One of so many shares of the training samples.
///
/// Samples are dealt out by a hash of their position, as if at random: then trusted samples are as likely in one share as
/// in another, and stay exchangeable with the right ones among the rest, whatever order the training set is in.
///
/// ```
/// use mirrorwatch_influence::Division;
///
/// let thirds = [0, 1, 2].map(|index| Division { index, count: 3 }.own(9_000));
/// let all: usize = thirds.iter().map(Vec::len).sum();
/// assert_eq!(all, 9_000);
/// assert!(thirds.iter().all(|own| (2_800..3_200).contains(&own.len())));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// Which share, from 0.
    pub index: u32,
    /// How many there are.
    pub count: u32,
}

impl Division {
    /// Of `samples` training samples the positions of this share's, in increasing order.
    ///
    /// ```
    /// use mirrorwatch_influence::Division;
    ///
    /// assert_eq!(Division { index: 0, count: 1 }.own(3), [0, 1, 2]);
    /// ```
    pub fn own(&self, samples: usize) -> Vec<usize> {
        let is_own = |position: &usize| self.holds(*position);
        (0..samples).filter(is_own).collect()
    }

    /// Whether the sample at this position of the whole training set is in this share.
    ///
    /// ```
    /// use mirrorwatch_influence::Division;
    ///
    /// let holders = [0, 1, 2].map(|index| Division { index, count: 3 }.holds(17));
    /// assert_eq!(holders.iter().filter(|holds| **holds).count(), 1);
    /// ```
    pub fn holds(&self, position: usize) -> bool {
        mixed(position as u64) % u64::from(self.count.max(1)) == u64::from(self.index)
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): every bit of the result depends on every bit of `x`.
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A task with one share of its training samples, which are numbered anew from 0; all else is as in the task itself.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// let shares = [0, 1].map(|index| Divided::new(Line, Some(Division { index, count: 2 })));
/// let read: Vec<Labels> = shares.iter().map(Labels::read).collect::<Result<_, _>>()?;
/// assert_eq!(read[0].train.len() + read[1].train.len(), labels.train.len());
/// assert_eq!((read[0].probe.len(), shares[0].whole()), (labels.probe.len(), 5));
/// // Samples keep their names.
/// assert_eq!(shares[1].id(0), shares[1].position(0).to_string());
/// # Ok::<(), InfluenceError>(())
/// ```
pub struct Divided<T: Task> {
    task: T,
    /// Positions of the share's samples; none where it is all of them.
    own: Option<Arc<[usize]>>,
    whole: usize,
}

impl<T: Task> Divided<T> {
    /// A share of `task`; none for all of it.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    #[doc = include_str!("example_task.txt")]
    /// let undivided = Divided::new(Line, None);
    /// assert_eq!(Labels::read(&undivided)?.train, labels.train);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn new(task: T, division: Option<Division>) -> Self {
        // A dataset that cannot even say how long it is will say so again when its labels are read, which is prepared
        // for that.
        let length =
            || crate::rehearse::contained("its length was asked", || Ok(task.train().len()));
        let whole = match division {
            Some(_) => length().unwrap_or(0),
            None => 0,
        };
        let own = division.map(|division| division.own(whole).into());
        Self { task, own, whole }
    }

    /// Training samples of the whole task.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    #[doc = include_str!("example_task.txt")]
    /// assert_eq!(Divided::new(Line, Some(Division { index: 1, count: 2 })).whole(), 5);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn whole(&self) -> usize {
        match self.own {
            Some(_) => self.whole,
            None => self.task.train().len(),
        }
    }

    /// Where in the whole training set a sample of this share is.
    ///
    /// ```
    #[doc = include_str!("example_impl.txt")]
    #[doc = include_str!("example_task.txt")]
    /// let division = Division { index: 1, count: 2 };
    /// let share = Divided::new(Line, Some(division));
    /// assert!(division.holds(share.position(0)));
    /// assert_eq!(Divided::new(Line, None).position(3), 3);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn position(&self, index: usize) -> usize {
        match &self.own {
            Some(own) => own.get(index).copied().unwrap_or(index),
            None => index,
        }
    }

    /// The indices in this share of samples at these positions. Positions of other shares are left out; those that no
    /// share has are kept, so that whoever checks them finds them.
    fn of_own(&self, positions: Vec<usize>) -> Vec<usize> {
        let Some(own) = &self.own else {
            return positions;
        };
        let mut indices = Vec::new();
        for position in positions {
            match own.binary_search(&position) {
                Ok(index) => indices.push(index),
                Err(_) if position >= self.whole => indices.push(position),
                Err(_) => {}
            }
        }
        indices
    }
}

/// The samples of a dataset at some positions.
struct Share<I> {
    all: Arc<dyn Dataset<I>>,
    own: Arc<[usize]>,
}

impl<I: Send> Dataset<I> for Share<I> {
    fn get(&self, index: usize) -> Result<I, DatasetError> {
        self.all.get(self.own[index])
    }

    fn get_many(&self, indexes: Vec<usize>) -> Result<Vec<I>, DatasetError> {
        let positions = indexes.into_iter().map(|index| self.own[index]);
        self.all.get_many(positions.collect())
    }

    fn len(&self) -> usize {
        self.own.len()
    }
}

impl<T: Task> Task for Divided<T> {
    type Model = T::Model;
    type Item = T::Item;
    type Batch = T::Batch;

    fn model(&self, device: &Device) -> Self::Model {
        self.task.model(device)
    }

    fn train(&self) -> Arc<dyn Dataset<Self::Item>> {
        let all = self.task.train();
        match &self.own {
            None => all,
            Some(own) => Arc::new(Share {
                all,
                own: own.clone(),
            }),
        }
    }

    fn probe(&self) -> Arc<dyn Dataset<Self::Item>> {
        self.task.probe()
    }

    fn batch(&self, items: Vec<Self::Item>, device: &Device) -> Self::Batch {
        self.task.batch(items, device)
    }

    fn classes(&self) -> usize {
        self.task.classes()
    }

    fn label(&self, item: &Self::Item) -> usize {
        self.task.label(item)
    }

    fn logits(&self, model: &Self::Model, batch: &Self::Batch) -> Tensor<2> {
        self.task.logits(model, batch)
    }

    fn losses(&self, model: &Self::Model, batch: &Self::Batch) -> Tensor<1> {
        self.task.losses(model, batch)
    }

    fn trusted(&self) -> Vec<usize> {
        self.of_own(self.task.trusted())
    }

    fn canaries(&self) -> Vec<usize> {
        self.of_own(self.task.canaries())
    }

    fn id(&self, index: usize) -> String {
        self.task.id(self.position(index))
    }

    fn source(&self, index: usize) -> Option<String> {
        self.task.source(self.position(index))
    }

    fn views(&self, item: &Self::Item) -> Vec<Self::Item> {
        self.task.views(item)
    }

    fn preview(&self, item: &Self::Item) -> Option<Preview> {
        self.task.preview(item)
    }

    fn weight_names(&self) -> Vec<(String, String)> {
        self.task.weight_names()
    }

    fn class_name(&self, class: usize) -> String {
        self.task.class_name(class)
    }
}
