//! Engine errors to the classes of `langgraph_checkpoint_rust.errors`.

use pyo3::exceptions::{PyFileExistsError, PyInterruptedError, PyValueError};
use pyo3::prelude::*;

use crate::error::Error;

mod classes {
    use pyo3::import_exception;

    import_exception!(langgraph_checkpoint_rust.errors, ConcurrentWriteError);
    import_exception!(langgraph_checkpoint_rust.errors, DatabaseBusyError);
    import_exception!(langgraph_checkpoint_rust.errors, DatabaseCorruptError);
    import_exception!(langgraph_checkpoint_rust.errors, DatabaseError);
    import_exception!(langgraph_checkpoint_rust.errors, DatabaseInUseError);
    import_exception!(langgraph_checkpoint_rust.errors, DatabaseOpenError);
    import_exception!(langgraph_checkpoint_rust.errors, DatabaseReplacedError);
    import_exception!(langgraph_checkpoint_rust.errors, DiskFullError);
    import_exception!(langgraph_checkpoint_rust.errors, ForeignSqliteError);
    import_exception!(langgraph_checkpoint_rust.errors, ForkedDatabaseError);
    import_exception!(langgraph_checkpoint_rust.errors, InternalError);
    import_exception!(langgraph_checkpoint_rust.errors, LeaseLostError);
    import_exception!(langgraph_checkpoint_rust.errors, OutcomeUnknownError);
    import_exception!(langgraph_checkpoint_rust.errors, PoolTimeoutError);
    import_exception!(langgraph_checkpoint_rust.errors, ReadOnlyError);
    import_exception!(langgraph_checkpoint_rust.errors, SaverClosedError);
    import_exception!(langgraph_checkpoint_rust.errors, SchemaVersionError);
    import_exception!(langgraph_checkpoint_rust.errors, ThreadDeletedError);
    import_exception!(langgraph_checkpoint_rust.errors, UnsupportedFilesystemError);
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
            Error::Replaced { .. } => classes::DatabaseReplacedError::new_err(message),
            Error::InUse { .. } => classes::DatabaseInUseError::new_err(message),
            Error::Exists { .. } => PyFileExistsError::new_err(message),
            Error::Forked { .. } => classes::ForkedDatabaseError::new_err(message),
            Error::ForeignSqlite { .. } => classes::ForeignSqliteError::new_err(message),
            Error::UnsupportedFilesystem { .. } => classes::UnsupportedFilesystemError::new_err(message),
            Error::OutcomeUnknown { .. } => classes::OutcomeUnknownError::new_err(message),
            Error::SchemaVersion { .. } | Error::NewerSchema { .. } => {
                classes::SchemaVersionError::new_err(message)
            }
            Error::ThreadDeleted { .. } => classes::ThreadDeletedError::new_err(message),
            Error::ConcurrentWrite { .. } => classes::ConcurrentWriteError::new_err(message),
            Error::LeaseLost { .. } => classes::LeaseLostError::new_err(message),
            Error::Invalid(_) | Error::ThreadExists { .. } | Error::CheckpointMissing { .. } => {
                PyValueError::new_err(message)
            }
            Error::Sqlite { extended_code, .. } => classes::DatabaseError::new_err((message, extended_code)),
            Error::Raw(_) => classes::DatabaseError::new_err(message),
            // Its caller is gone: a cancelled task, or a signal whose handler raised.
            Error::Interrupted => PyInterruptedError::new_err(message),
            // The border answers `NeedShapes` and `BeingDeleted` itself; a user who meets them has met a defect.
            Error::Panicked(_) | Error::Untold | Error::NeedShapes(_) | Error::BeingDeleted => {
                classes::InternalError::new_err(message)
            }
        }
    }
}
