//! Engine errors to the classes of `langgraph_checkpoint_rust.errors`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::{Error, Result};

mod classes {
    use pyo3::import_exception;

    import_exception!(langgraph_checkpoint_rust.errors, DatabaseBusyError);
    import_exception!(langgraph_checkpoint_rust.errors, DatabaseCorruptError);
    import_exception!(langgraph_checkpoint_rust.errors, DatabaseError);
    import_exception!(langgraph_checkpoint_rust.errors, DatabaseOpenError);
    import_exception!(langgraph_checkpoint_rust.errors, DiskFullError);
    import_exception!(langgraph_checkpoint_rust.errors, InternalError);
    import_exception!(langgraph_checkpoint_rust.errors, PoolTimeoutError);
    import_exception!(langgraph_checkpoint_rust.errors, ReadOnlyError);
    import_exception!(langgraph_checkpoint_rust.errors, SaverClosedError);
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Busy { .. } => classes::DatabaseBusyError::new_err(message),
            Error::PoolTimeout { .. } => classes::PoolTimeoutError::new_err(message),
            Error::Closed { .. } => classes::SaverClosedError::new_err(message),
            Error::Corrupt { .. } | Error::CorruptRow { .. } => {
                classes::DatabaseCorruptError::new_err(message)
            }
            Error::DiskFull { .. } => classes::DiskFullError::new_err(message),
            Error::ReadOnly { .. } => classes::ReadOnlyError::new_err(message),
            Error::CannotOpen { .. } | Error::SettingRefused { .. } => {
                classes::DatabaseOpenError::new_err(message)
            }
            Error::Invalid(_) => PyValueError::new_err(message),
            Error::Sqlite { extended_code, .. } => classes::DatabaseError::new_err((message, extended_code)),
            Error::Raw(_) => classes::DatabaseError::new_err(message),
            // The border answers it itself; a user who meets it has met a defect.
            Error::NeedShapes(_) => classes::InternalError::new_err(message),
        }
    }
}

/// Runs engine code off the interpreter. A panic inside becomes `InternalError`: `PanicException`
/// is no `Exception`, so servers that catch those would lose a worker to it.
pub(super) fn detached<T: Send>(
    py: Python<'_>,
    call: impl FnOnce() -> Result<T> + Send,
) -> PyResult<Result<T>> {
    py.detach(|| catch_unwind(AssertUnwindSafe(call)))
        .map_err(|panic| classes::InternalError::new_err(panic_message(panic.as_ref())))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    format!(
        "a defect of langgraph-checkpoint-rust: {text}; nothing of this call was stored; please report it"
    )
}
