// What every file that defines an XLA FFI handler begins with.

#ifndef KEYTOKENS_HANDLER_H_
#define KEYTOKENS_HANDLER_H_

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using F32 = ffi::Buffer<ffi::F32>;
using S16 = ffi::Buffer<ffi::S16>;
using S32 = ffi::Buffer<ffi::S32>;

// What Python finds in the library by name.
#define KEYTOKENS_EXPORT extern "C" __attribute__((visibility("default")))

#endif  // KEYTOKENS_HANDLER_H_
