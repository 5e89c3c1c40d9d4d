//! The upstream functions that the codec is bound to, and what Python calls.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyByteArray, PyBytes, PyDict, PyList, PyString, PyTuple, PyType, PyWeakrefMethods, PyWeakrefReference,
};

use super::Codec;
use super::classes::Classes;
use super::safe::SafeClasses;

/// Upstream's functions, and where they were found.
#[derive(Debug)]
pub(super) struct Upstream {
    /// `_msgpack_default`, whose nested calls come back here.
    pub(super) default: Py<PyAny>,
    /// `ormsgpack.packb` with upstream's options.
    packb: Py<PyAny>,
    /// Classes that only `ormsgpack` can read.
    leaves: Vec<Py<PyType>>,
    enum_meta: Py<PyType>,
    /// Names of modules and what they must still be bound to.
    watched: Vec<(Py<PyDict>, Py<PyString>, Py<PyAny>)>,
}

impl Upstream {
    pub(super) fn pack<'py>(
        &self,
        py: Python<'py>,
        object: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        Ok(self
            .packb
            .bind(py)
            .call1(PyTuple::new(py, [object])?)?
            .cast_into_exact::<PyBytes>()?)
    }

    pub(super) fn is_leaf(&self, object: Borrowed<'_, '_, PyAny>) -> bool {
        let class = object.get_type_ptr();
        self.leaves.iter().any(|leaf| leaf.as_ptr() == class.cast())
    }

    pub(super) fn is_enum(&self, object: Borrowed<'_, '_, PyAny>) -> bool {
        object.get_type().as_any().get_type_ptr().cast() == self.enum_meta.as_ptr()
    }

    /// Whether upstream's functions are still those: somebody may have replaced one.
    fn is_current(&self, py: Python<'_>) -> PyResult<bool> {
        for (module, name, value) in &self.watched {
            match module.bind(py).get_item(name.bind(py))? {
                Some(found) if found.is(value) => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}

fn interned<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyString>>,
    text: &str,
) -> &'py Bound<'py, PyString> {
    cell.get_or_init(py, || PyString::intern(py, text).unbind())
        .bind(py)
}

/// The type tag of what the codec writes.
fn msgpack(py: Python<'_>) -> &Bound<'_, PyString> {
    static TAG: PyOnceLock<Py<PyString>> = PyOnceLock::new();
    interned(py, &TAG, "msgpack")
}

#[pymethods]
impl Codec {
    #[new]
    #[pyo3(signature = (*, default, packb, leaves, enum_meta, classes, safe, modules, watched, pause_gc))]
    #[expect(clippy::too_many_arguments, reason = "keywords, given in one place")]
    fn new(
        py: Python<'_>,
        default: Py<PyAny>,
        packb: Py<PyAny>,
        leaves: Vec<Py<PyType>>,
        enum_meta: Py<PyType>,
        classes: &Bound<'_, PyList>,
        safe: Vec<(String, String, Py<PyType>)>,
        modules: Py<PyDict>,
        watched: Vec<(Py<PyDict>, Py<PyString>, Py<PyAny>)>,
        pause_gc: bool,
    ) -> PyResult<Self> {
        let classes = Classes::new(classes)?;
        let upstream = Upstream {
            default,
            packb,
            leaves,
            enum_meta,
            watched,
        };
        let safe = SafeClasses::new(py, safe, modules);
        Ok(Self {
            upstream,
            classes,
            safe,
            tool_calls: PyString::intern(py, "tool_calls").unbind(),
            pause_gc,
        })
    }

    /// The type tag and the msgpack of `object`; `NotImplemented` if it is upstream's to write.
    fn dumps_typed<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        let has_own_tag =
            object.is_none() || object.is_instance_of::<PyBytes>() || object.is_instance_of::<PyByteArray>();
        if has_own_tag || !self.upstream.is_current(py)? {
            return Ok(py.NotImplemented().into_bound(py));
        }
        let bytes = self.bytes_of(object)?;
        Ok(PyTuple::new(py, [msgpack(py).as_any(), bytes.as_any()])?.into_any())
    }

    /// The object that `typed` holds, by the policy of `serde`; `NotImplemented` if it is upstream's to read.
    ///
    /// `rebind` makes a native hook from the serializer's, or None if the hook is not upstream's own. It is called
    /// again whenever the serializer has another hook than at the last call.
    fn loads_typed<'py>(
        &self,
        serde: &Bound<'py, PyAny>,
        typed: &Bound<'py, PyAny>,
        rebind: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        static HOOK: PyOnceLock<Py<PyString>> = PyOnceLock::new();
        static CUSTOM: PyOnceLock<Py<PyString>> = PyOnceLock::new();
        static NATIVE: PyOnceLock<Py<PyString>> = PyOnceLock::new();
        let py = serde.py();
        let Some(blob) = msgpack_of(typed) else {
            return Ok(py.NotImplemented().into_bound(py));
        };
        if !self.upstream.is_current(py)? {
            return Ok(py.NotImplemented().into_bound(py));
        }
        let hook = serde.getattr(interned(py, &HOOK, "_unpack_ext_hook"))?;
        if serde
            .getattr(interned(py, &CUSTOM, "_custom_unpack_ext_hook"))?
            .is_truthy()?
        {
            return self.decode(py, blob.as_bytes(), Some(&hook), false);
        }
        // Clones share this attribute and then get another hook: it counts only for the hook it was made from.
        let name = interned(py, &NATIVE, "_native_hook");
        if let Ok(known) = serde.getattr(name)?.cast_exact::<PyTuple>()
            && let Ok(native) = known.get_item(1)
            && known.get_item(0)?.is(&hook)
        {
            return self.by_hook(&blob, &hook, &native);
        }
        let native = rebind.call1((&hook,))?;
        serde.setattr(name, (&hook, &native))?;
        self.by_hook(&blob, &hook, &native)
    }

    /// The msgpack of `object`.
    fn dumps<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes_of(object)
    }

    /// The msgpack of a part of an object, for upstream's `_msgpack_default` and nobody else.
    fn dumps_part<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.part_of(object)
    }

    /// The object in `blob`. Extensions go to `hook`, except messages that fit if `fast`.
    #[pyo3(signature = (blob, hook, fast))]
    fn loads<'py>(
        &self,
        blob: &Bound<'py, PyBytes>,
        hook: Option<&Bound<'py, PyAny>>,
        fast: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.decode(blob.py(), blob.as_bytes(), hook, fast)
    }
}

impl Codec {
    fn by_hook<'py>(
        &self,
        blob: &Bound<'py, PyBytes>,
        hook: &Bound<'py, PyAny>,
        native: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if native.is_none() {
            return self.decode(blob.py(), blob.as_bytes(), Some(hook), false);
        }
        self.decode(blob.py(), blob.as_bytes(), Some(native), true)
    }
}

/// The blob of a pair `("msgpack", bytes)` of exact types.
fn msgpack_of<'py>(typed: &Bound<'py, PyAny>) -> Option<Bound<'py, PyBytes>> {
    let typed = typed.cast_exact::<PyTuple>().ok()?;
    if typed.len() != 2 {
        return None;
    }
    let tag = typed.get_item(0).ok()?;
    if !tag.is(msgpack(typed.py())) && tag.cast_exact::<PyString>().ok()?.to_str().ok()? != "msgpack" {
        return None;
    }
    typed.get_item(1).ok()?.cast_into_exact::<PyBytes>().ok()
}

/// Stands in for `ormsgpack.unpackb` in a copy of upstream's hook: decodes parts with the copy as their hook.
#[pyclass(frozen, module = "langgraph_checkpoint_rust._core")]
pub(crate) struct Unpack {
    codec: Py<Codec>,
    original: Py<PyAny>,
    /// Upstream's hook.
    hook: Py<PyAny>,
    /// Its copy that calls this: weak, since `LangGraph` drops serializers with their hooks once per run.
    native: PyOnceLock<Py<PyWeakrefReference>>,
}

#[pymethods]
impl Unpack {
    #[new]
    fn new(codec: Py<Codec>, original: Py<PyAny>, hook: Py<PyAny>) -> Self {
        Self {
            codec,
            original,
            hook,
            native: PyOnceLock::new(),
        }
    }

    /// Says which hook is the copy. Once.
    fn bind(&self, native: &Bound<'_, PyAny>) -> PyResult<()> {
        let native = PyWeakrefReference::new(native)?;
        self.native.get_or_init(native.py(), || native.clone().unbind());
        Ok(())
    }

    #[pyo3(signature = (data, *, ext_hook=None, option=None))]
    /// `ormsgpack.unpackb`. A method, not `__call__`: its arguments come without a dict.
    fn unpackb<'py>(
        &self,
        data: &Bound<'py, PyAny>,
        ext_hook: Option<&Bound<'py, PyAny>>,
        option: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = data.py();
        if let (Ok(blob), Some(hook), Some(native)) =
            (data.cast_exact::<PyBytes>(), ext_hook, self.native.get(py))
            && hook.is(&self.hook)
            && let Some(native) = native.bind(py).upgrade()
        {
            return self.codec.get().decode(py, blob.as_bytes(), Some(&native), true);
        }
        let keywords = PyDict::new(py);
        keywords.set_item("ext_hook", ext_hook)?;
        keywords.set_item("option", option)?;
        self.original.bind(py).call((data,), Some(&keywords))
    }
}
