//! A snapshot of a module's parameters: taken in microseconds, serialised elsewhere.
//!
//! [`Tape::record`] walks the model once with a read-only visitor and keeps a handle to every tensor.
//! Tensors in Burn are immutable values behind reference counts, so a handle is a snapshot: an
//! optimizer that updates a parameter "in place" sees the second reference and writes elsewhere.
//!
//! Burn's own `model.valid()` would be shorter, but it is not free of side effects: it folds the
//! pending update of every BatchNorm statistic into the training model, and it draws random numbers
//! for parameters that are still lazy. Both could be seen by the training afterwards. Reading through
//! a visitor changes nothing, and yields exactly what `model.clone().into_record()` would yield at the
//! same moment.
//!
//! On the other side a [`Tape`] is a [`Module`] of its own that replays what was recorded, which is
//! how it becomes a [`ModuleRecord`](burn::store::ModuleRecord) without knowing the model's type.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use burn::module::{Devices, Module, ModuleMapper, ModuleVisitor, Param, Parameter};
use burn::tensor::{Bool, Device, Float, Int, Tensor};

use crate::error::HookError;

/// Calls a macro-local rule for every tensor rank a tape can hold.
macro_rules! for_each_rank {
    ($apply:ident) => {
        $apply!(1 2 3 4 5 6 7 8 9 10)
    };
}

/// The largest rank in `for_each_rank`.
const MAX_RANK: usize = 10;

/// One parameter: where it sits in the module, and a `Param<Tensor<D, K>>` whose rank and kind were
/// erased so that all of them fit one list.
struct Entry {
    path: String,
    param: Box<dyn Any + Send + Sync>,
}

/// Handles to all parameters of a module, off the autodiff graph.
#[derive(Clone)]
pub(crate) struct Tape {
    entries: Arc<Vec<Entry>>,
}

impl Tape {
    /// Records the parameters of `model` without changing it.
    ///
    /// # Errors
    ///
    /// [`HookError::Uninitialized`] when a parameter is still lazy: initialising it here would draw
    /// from the random number generator the training uses. [`HookError::Rank`] for a tensor of more
    /// dimensions than any backend supports.
    pub(crate) fn record<M: Module>(model: &M) -> Result<Self, HookError> {
        let mut recorder = Recorder::default();
        model.visit(&mut recorder);

        match recorder.refused {
            Some(error) => Err(error),
            None => Ok(Self {
                entries: Arc::new(recorder.entries),
            }),
        }
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape")
            .field("parameters", &self.entries.len())
            .finish()
    }
}

#[derive(Default)]
struct Recorder {
    path: Vec<String>,
    entries: Vec<Entry>,
    refused: Option<HookError>,
}

impl Recorder {
    fn keep<const D: usize, K>(
        &mut self,
        param: &Param<Tensor<D, K>>,
        strip: impl FnOnce(Tensor<D, K>) -> Tensor<D, K>,
    ) where
        K: burn::tensor::kind::Basic + 'static,
        Tensor<D, K>: Parameter + Sync,
    {
        if self.refused.is_some() {
            return;
        }
        let path = self.path.join(".");
        if !param.is_initialized() {
            self.refused = Some(HookError::Uninitialized { name: path });
            return;
        }
        if D == 0 || D > MAX_RANK {
            self.refused = Some(HookError::Rank {
                name: path,
                rank: D,
            });
            return;
        }

        // The mapper travels along: it holds the form in which the parameter is saved.
        let (id, tensor, mapper) = param.clone().consume();
        let param = Param::from_mapped_value(id, strip(tensor), mapper);
        self.entries.push(Entry {
            path,
            param: Box::new(param),
        });
    }
}

impl ModuleVisitor for Recorder {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // Off the graph, or the tape would keep the graph's leaves alive on another thread.
        self.keep(param, Tensor::without_autodiff);
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.keep(param, Tensor::without_autodiff);
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.keep(param, Tensor::without_autodiff);
    }
}

impl Entry {
    fn replay<V: ModuleVisitor>(&self, visitor: &mut V) {
        macro_rules! visit_as {
            ($($rank:literal)*) => {$(
                if let Some(param) = self.param.downcast_ref::<Param<Tensor<$rank, Float>>>() {
                    return visitor.visit_float(param);
                }
                if let Some(param) = self.param.downcast_ref::<Param<Tensor<$rank, Int>>>() {
                    return visitor.visit_int(param);
                }
                if let Some(param) = self.param.downcast_ref::<Param<Tensor<$rank, Bool>>>() {
                    return visitor.visit_bool(param);
                }
            )*};
        }
        for_each_rank!(visit_as);
    }
}

/// Only [`visit`](Module::visit) is ever used, by `into_record` and by the list of parameters. The
/// other methods return the tape as it is: it never moves, trains or infers.
impl Module for Tape {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for entry in self.entries.iter() {
            // The whole dotted path as one level: visitors join the levels with dots again.
            visitor.enter_module(&entry.path, "Tape");
            entry.replay(visitor);
            visitor.exit_module(&entry.path, "Tape");
        }
    }

    fn collect_devices(&self, devices: Devices) -> Devices {
        devices
    }

    fn fork(self, _device: &Device) -> Self {
        self
    }

    fn to_device(self, _device: &Device) -> Self {
        self
    }

    fn map<Mapper: ModuleMapper>(self, _mapper: &mut Mapper) -> Self {
        self
    }

    fn materialize(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        self.clone()
    }

    fn train(self) -> Self {
        self
    }
}
