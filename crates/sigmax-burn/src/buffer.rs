//! [`Buffer`]: a tensor that is saved and moved with a module but never trained.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
    Param, ParamId,
};
use burn::tensor::{Device, Tensor};

/// A tensor without autodiff inside a module. It is visited and mapped (so records carry it), moves
/// between devices, never requires gradients, and can be replaced through a shared reference.
///
/// A clone is independent of the original.
#[derive(Debug)]
pub(crate) struct Buffer<const D: usize> {
    id: ParamId,
    value: Mutex<Tensor<D>>,
    /// Whether a mapper (the loading of a record, for instance) has been here.
    mapped: AtomicBool,
}

impl<const D: usize> Buffer<D> {
    pub(crate) fn new(value: Tensor<D>) -> Self {
        Self::with_id(ParamId::new(), value)
    }

    fn with_id(id: ParamId, value: Tensor<D>) -> Self {
        Self {
            id,
            value: Mutex::new(plain(value)),
            mapped: AtomicBool::new(false),
        }
    }

    /// No invariant spans more than one assignment, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Tensor<D>> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> Tensor<D> {
        self.lock().clone()
    }

    /// The value on `device`.
    pub(crate) fn get_on(&self, device: &Device) -> Tensor<D> {
        let value = self.get();
        if value.device() == *device {
            value
        } else {
            plain(value.to_device(device))
        }
    }

    pub(crate) fn set(&self, value: Tensor<D>) {
        *self.lock() = plain(value);
    }

    /// Whether a mapper has been here since the last `take_mapped`.
    pub(crate) fn is_mapped(&self) -> bool {
        self.mapped.load(Ordering::Relaxed)
    }

    /// Whether a mapper has been here since the last call.
    pub(crate) fn take_mapped(&self) -> bool {
        self.mapped.swap(false, Ordering::Relaxed)
    }
}

fn plain<const D: usize>(value: Tensor<D>) -> Tensor<D> {
    value.without_autodiff()
}

impl<const D: usize> Clone for Buffer<D> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            value: Mutex::new(self.get()),
            mapped: AtomicBool::new(self.mapped.load(Ordering::Relaxed)),
        }
    }
}

impl<const D: usize> Module for Buffer<D> {
    fn collect_devices(&self, mut devices: Devices) -> Devices {
        let device = self.get().device();
        if !devices.contains(&device) {
            devices.push(device);
        }
        devices
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn to_device(self, device: &Device) -> Self {
        let moved = self.get_on(device);
        self.set(moved);
        self
    }

    fn train(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        self.clone()
    }

    fn materialize(self) -> Self {
        self
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_float(&Param::initialized(self.id, self.get()));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let param = mapper.map_float(Param::initialized(self.id, self.get()));
        let (id, value, _) = param.consume();
        let buffer = Self::with_id(id, value);
        buffer.mapped.store(true, Ordering::Relaxed);
        buffer
    }
}

impl<const D: usize> ModuleDisplayDefault for Buffer<D> {
    fn content(&self, content: Content) -> Option<Content> {
        let dims = self.get().dims();
        content
            .add_formatted(&format!("Buffer {dims:?}"))
            .optional()
    }
}

impl<const D: usize> ModuleDisplay for Buffer<D> {}
