// activation(x W^T + b) by exact sums of 16-bit integer products, as one XLA FFI handler. See linear.py for the format.
//
// A panel is 48 rows of W: 48 float32 steps, then their numbers as [width / 2][48][2], what vpdpwssd reads. A micro tile
// is 8 rows of x against one panel: 24 accumulators of the 32 registers. An integer sum is exact whatever its order, so a
// row's result depends on nothing but the row.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "vector_math.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace keytokens {
namespace {

constexpr int64_t kPanel = 48;
constexpr int64_t kHeader = 2 * kPanel;  // the steps, in units of int16
constexpr int64_t kRows = 8;
constexpr int64_t kRowBlock = 64;  // rows and panels of a piece of work
constexpr int64_t kPanelBlock = 8;

enum Activation { kNone, kRelu, kGelu, kGeluTanh, kSilu };

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,prefer-vector-width=512")

// The first n lanes of a vector of 16.
inline __mmask16 Lanes(int64_t n) { return static_cast<__mmask16>(n >= 16 ? 0xffff : (1 << n) - 1); }

// The largest norm of a block: 46,340 squared is the last square below 2^31, and rounding adds at most sqrt(width) / 2.
inline float LargestNorm(int64_t width) { return 46340.0f - 0.5f * std::sqrt(static_cast<float>(width)) - 1.0f; }

// One block of one row as integers; returns its step. What is not finite makes the step so, and with it the result.
float Round(const float* x, int64_t width, int16_t* out) {
  __m512 squares = _mm512_setzero_ps(), largest = _mm512_setzero_ps();
  for (int64_t d = 0; d < width; d += 16) {
    const __m512 some = _mm512_maskz_loadu_ps(Lanes(width - d), x + d);
    squares = _mm512_fmadd_ps(some, some, squares);
    largest = _mm512_max_ps(largest, _mm512_abs_ps(some));
  }
  const float squared = _mm512_reduce_add_ps(squares);
  const bool finite = squared < INFINITY;  // false for NaN
  const float step = std::max(std::sqrt(squared) / LargestNorm(width), _mm512_reduce_max_ps(largest) / 32767.0f);
  const __m512 inverse = _mm512_set1_ps(finite && step > 0 ? 1.0f / step : 0.0f);
  for (int64_t d = 0; d < width; d += 16) {
    const __mmask16 lanes = Lanes(width - d);
    const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, x + d), inverse));
    _mm256_mask_storeu_epi16(out + d, lanes, _mm512_cvtsepi32_epi16(whole));
  }
  return finite ? step : NAN;
}

void Tile(const int16_t* x, const float* steps, int64_t blocks, int64_t width, const int16_t* panel,
          float (*sums)[kPanel]) {
  const int64_t stride = blocks * width;
  for (int64_t b = 0; b < blocks; b++, panel += kHeader + width * kPanel) {
    __m512i acc[kRows][3];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; i++) acc[i][0] = acc[i][1] = acc[i][2] = _mm512_setzero_si512();
    const int16_t* w = panel + kHeader;
    const int16_t* row = x + b * width;
    for (int64_t d = 0; d < width; d += 2, w += 2 * kPanel) {
      const __m512i w0 = _mm512_loadu_si512(w), w1 = _mm512_loadu_si512(w + 32), w2 = _mm512_loadu_si512(w + 64);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; i++) {
        int32_t pair;
        std::memcpy(&pair, row + i * stride + d, 4);
        const __m512i a = _mm512_set1_epi32(pair);
        acc[i][0] = _mm512_dpwssd_epi32(acc[i][0], w0, a);
        acc[i][1] = _mm512_dpwssd_epi32(acc[i][1], w1, a);
        acc[i][2] = _mm512_dpwssd_epi32(acc[i][2], w2, a);
      }
    }
    const __m512 step[3] = {_mm512_loadu_ps(panel), _mm512_loadu_ps(panel + 32), _mm512_loadu_ps(panel + 64)};
#pragma GCC unroll 8
    for (int i = 0; i < kRows; i++) {
      const __m512 mine = _mm512_set1_ps(steps[i * blocks + b]);
#pragma GCC unroll 3
      for (int j = 0; j < 3; j++) {
        // One step after the other: their product may be too small for a float32.
        const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[i][j]), mine);
        const __m512 before = b ? _mm512_loadu_ps(sums[i] + 16 * j) : _mm512_setzero_ps();
        _mm512_storeu_ps(sums[i] + 16 * j, _mm512_fmadd_ps(product, step[j], before));
      }
    }
  }
}

template <class F>
inline __attribute__((always_inline)) void Write(const float* sums, const float* bias, int64_t n, float* out, F f) {
  if (n == kPanel) {
    for (int64_t j = 0; j < kPanel; j++) out[j] = f(sums[j] + bias[j]);
  } else {
    for (int64_t j = 0; j < n; j++) out[j] = f(sums[j] + bias[j]);
  }
}

ffi::Error Linear(ffi::ThreadPool pool, int64_t activation, ffi::Buffer<ffi::F32> x, ffi::Buffer<ffi::S16> packed,
                  ffi::Buffer<ffi::F32> bias, ffi::ResultBuffer<ffi::F32> out) {
  const int64_t num_rows = x.dimensions()[0], dim = x.dimensions()[1], size = out->dimensions()[1];
  const int64_t panels = packed.dimensions()[0], blocks = packed.dimensions()[1];
  const int64_t width = (packed.dimensions()[2] - kHeader) / kPanel, panel_size = blocks * packed.dimensions()[2];
  const int64_t tiles = (num_rows + kRows - 1) / kRows;
  // Kept from call to call: fresh memory would cost a page fault every 2,048 numbers, a seventh of a small product.
  thread_local std::vector<int16_t> rounded;
  thread_local std::vector<float> all_steps;
  rounded.resize(std::max<size_t>(rounded.size(), tiles * kRows * blocks * width));
  all_steps.resize(std::max<size_t>(all_steps.size(), tiles * kRows * blocks));
  int16_t* const rows = rounded.data();  // the threads of the pool have vectors of their own
  float* const steps = all_steps.data();
  const int64_t row_blocks = (num_rows + kRowBlock - 1) / kRowBlock;
  Parallel(pool, row_blocks, [&](int64_t piece) {
    std::vector<float> last(width);
    for (int64_t r = piece * kRowBlock; r < std::min(num_rows, (piece + 1) * kRowBlock); r++)
      for (int64_t b = 0; b < blocks; b++) {
        const float* from = x.typed_data() + r * dim + b * width;
        if ((b + 1) * width > dim) {
          std::fill(std::copy(from, from + dim - b * width, last.begin()), last.end(), 0.0f);
          from = last.data();
        }
        steps[r * blocks + b] = Round(from, width, rows + (r * blocks + b) * width);
      }
  });
  const int64_t panel_blocks = (panels + kPanelBlock - 1) / kPanelBlock;
  Parallel(pool, row_blocks * panel_blocks, [&](int64_t piece) {
    const int64_t first = piece / panel_blocks * kRowBlock, end = std::min(num_rows, first + kRowBlock);
    const int64_t from = piece % panel_blocks * kPanelBlock, to = std::min(panels, from + kPanelBlock);
    float sums[kRows][kPanel];
    for (int64_t panel = from; panel < to; panel++) {
      const int64_t column = panel * kPanel, n = std::min(kPanel, size - column);
      const float* b = bias.typed_data() + column;
      for (int64_t row = first; row < end; row += kRows) {
        Tile(rows + row * blocks * width, steps + row * blocks, blocks, width,
             packed.typed_data() + panel * panel_size, sums);
        for (int64_t i = 0; i < std::min(kRows, end - row); i++) {
          float* to_row = out->typed_data() + (row + i) * size + column;
          switch (activation) {
            case kRelu: Write(sums[i], b, n, to_row, [](float y) { return y > 0 || y != y ? y : 0.0f; }); break;
            case kGelu: Write(sums[i], b, n, to_row, [](float y) { return Gelu(y); }); break;
            case kGeluTanh: Write(sums[i], b, n, to_row, [](float y) { return GeluTanh(y); }); break;
            case kSilu: Write(sums[i], b, n, to_row, [](float y) { return Silu(y); }); break;
            default: Write(sums[i], b, n, to_row, [](float y) { return y; });
          }
        }
      }
    }
  });
  return ffi::Error::Success();
}
#pragma GCC pop_options
#else
ffi::Error Linear(ffi::ThreadPool, int64_t, ffi::Buffer<ffi::F32>, ffi::Buffer<ffi::S16>, ffi::Buffer<ffi::F32>,
                  ffi::ResultBuffer<ffi::F32>) {
  return ffi::Error::InvalidArgument("products of 16-bit integers are written for x86 with AVX-512 VNNI");
}
#endif

}  // namespace
}  // namespace keytokens

extern "C" __attribute__((visibility("default"))) XLA_FFI_Error* KeytokensLinear(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    KeytokensLinear, keytokens::Linear,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attr<int64_t>("activation").Arg<ffi::Buffer<ffi::F32>>()
        .Arg<ffi::Buffer<ffi::S16>>().Arg<ffi::Buffer<ffi::F32>>().Ret<ffi::Buffer<ffi::F32>>());
