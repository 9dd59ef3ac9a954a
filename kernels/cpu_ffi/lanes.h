// Sixteen numbers at a time, on any machine: with AVX-512 a register of it, elsewhere a few of the machine's own width.
//
// Both give the same bits. Where sixteen numbers take several registers (kNarrow), loops keep fewer of them.

#ifndef KEYTOKENS_LANES_H_
#define KEYTOKENS_LANES_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace keytokens {

#define KEYTOKENS_INLINE inline __attribute__((always_inline))

constexpr int64_t kLanes = 16;

}  // namespace keytokens

#if defined(__AVX512VNNI__)
#include "lanes_avx512.h"
#else
#include "lanes_anywhere.h"
#endif

#endif  // KEYTOKENS_LANES_H_
