// Rows times a packed matrix by exact sums of 16-bit integer products. See linear.py for the format.
//
// A panel is 48 rows of the matrix: their float32 steps, then block after block their numbers as [width / 2][48][2], what
// vpdpwssd reads. A micro tile is 8 rows of x against one block of a panel: 24 accumulators of the 32 registers. The block
// stays in the first cache while up to 64 rows go by. An integer sum is exact whatever its order, so a row's result
// depends on nothing but the row.

#ifndef KEYTOKENS_PRODUCT_H_
#define KEYTOKENS_PRODUCT_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "vector_math.h"

namespace keytokens {

constexpr int64_t kRowBlock = 64;  // the most rows that go through together

enum Activation { kNone, kRelu, kGelu, kGeluTanh, kSilu };

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,prefer-vector-width=512")

constexpr int64_t kPanel = 48;
constexpr int64_t kHeader = 2 * kPanel;  // the steps, in units of int16
constexpr int64_t kLargestBlock = 64;
constexpr int64_t kTileRows = 8;

// How rows of `dim` numbers are cut into blocks.
struct Cut {
  int64_t dim, blocks, width;

  explicit Cut(int64_t dim) : dim(dim), blocks(CeilDiv(dim, kLargestBlock)) {
    width = CeilDiv(dim, blocks);
    width += width % 2;
  }
  int64_t panel_size() const { return kHeader + blocks * width * kPanel; }
};

// [out, dim], packed, with a bias [out].
struct Matrix {
  Cut cut;
  const int16_t* panels;
  const float* bias;
  int64_t size;
};

// Up to kRowBlock rows as integers [block][kRowBlock][width], what a block of a panel meets side by side, and their
// steps [block][kRowBlock].
struct Rounded {
  std::vector<int16_t> numbers;
  std::vector<float> steps;
};

// The first n lanes of a vector of 16.
inline __mmask16 Lanes(int64_t n) { return static_cast<__mmask16>(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1); }

// The largest norm of a block: 46,340 squared is the last square below 2^31, and rounding adds at most sqrt(width) / 2.
inline float LargestNorm(int64_t width) { return 46340.0f - 0.5f * std::sqrt(static_cast<float>(width)) - 1.0f; }

// Of numbers that share a step: the sum of their squares and the largest of them without its sign.
struct Size {
  float squares = 0, largest = 0;
};

inline Size SizeOf(const float* x, int64_t n) {
  __m512 squares = _mm512_setzero_ps(), largest = _mm512_setzero_ps();
  for (int64_t d = 0; d < n; d += 16) {
    const __m512 some = _mm512_maskz_loadu_ps(Lanes(n - d), x + d);
    squares = _mm512_fmadd_ps(some, some, squares);
    largest = _mm512_max_ps(largest, _mm512_abs_ps(some));
  }
  return {_mm512_reduce_add_ps(squares), _mm512_reduce_max_ps(largest)};
}

// Sixteen of them.
struct Sizes {
  alignas(64) float squares[16] = {}, largest[16] = {};

  Sizes() = default;
  explicit Sizes(const Size& first) { Set(0, first); }
  void Set(int64_t i, const Size& size) {
    squares[i] = size.squares;
    largest[i] = size.largest;
  }
};

// The smallest steps with which no sum of `width` products overflows; NaN for what is not finite.
inline __m512 Steps(const Sizes& sizes, int64_t width) {
  const __m512 squares = _mm512_load_ps(sizes.squares);
  const __m512 step = _mm512_max_ps(
      _mm512_mul_ps(_mm512_sqrt_ps(squares), _mm512_set1_ps(1.0f / LargestNorm(width))),
      _mm512_mul_ps(_mm512_load_ps(sizes.largest), _mm512_set1_ps(1.0f / 32767.0f)));
  const __mmask16 finite = _mm512_cmp_ps_mask(squares, _mm512_set1_ps(INFINITY), _CMP_LT_OQ);  // false for NaN
  return _mm512_mask_mov_ps(_mm512_set1_ps(NAN), finite, step);
}

// A NaN is larger than anything.
inline Size Larger(const Size& a, const Size& b) {
  return {a.squares > b.squares || a.squares != a.squares ? a.squares : b.squares, std::max(a.largest, b.largest)};
}

// n numbers as whole multiples of the step, zeros behind them up to `width`.
inline void ToIntegers(const float* x, int64_t n, int64_t width, float step, int16_t* out) {
  const __m512 inverse = _mm512_set1_ps(step > 0 ? 1.0f / step : 0.0f);
  for (int64_t d = 0; d < width; d += 16) {
    const __m512 numbers = _mm512_maskz_loadu_ps(Lanes(n - d), x + d);
    const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(numbers, inverse));
    _mm256_mask_storeu_epi16(out + d, Lanes(width - d), _mm512_cvtsepi32_epi16(whole));
  }
}

// One row. What is not finite makes a step so, and with it the result.
inline void RoundRow(const float* x, const Cut& cut, int64_t row, Rounded& out) {
  constexpr int64_t kGroup = 16;  // blocks whose steps are found together
  for (int64_t group = 0; group < cut.blocks; group += kGroup) {
    const int64_t end = std::min(cut.blocks, group + kGroup);
    Sizes sizes;
    for (int64_t b = group; b < end; b++)
      sizes.Set(b - group, SizeOf(x + b * cut.width, std::min(cut.width, cut.dim - b * cut.width)));
    alignas(64) float steps[kGroup];
    _mm512_store_ps(steps, Steps(sizes, cut.width));
    for (int64_t b = group; b < end; b++) {
      const int64_t from = b * cut.width, at = b * kRowBlock + row;
      out.steps[at] = steps[b - group];
      ToIntegers(x + from, cut.dim - from, cut.width, steps[b - group], &out.numbers[at * cut.width]);
    }
  }
}

// n rows [n, dim].
inline void RoundRows(const float* x, int64_t n, const Cut& cut, Rounded& out) {
  // Only ever grown: fresh memory would cost a page fault every 2,048 numbers.
  out.numbers.resize(std::max<size_t>(out.numbers.size(), cut.blocks * kRowBlock * cut.width));
  out.steps.resize(std::max<size_t>(out.steps.size(), cut.blocks * kRowBlock));
  for (int64_t row = 0; row < n; row++) RoundRow(x + row * cut.dim, cut, row, out);
}

// Loops whose accumulators fill the registers are functions of their own, and add in assembler: inlined among other
// variables, or with the intrinsics, GCC 12 may keep the accumulators in memory, at half of the speed.
#define KEYTOKENS_LOOP __attribute__((noinline))

// acc += a b, of pairs of integers exactly, and of floats.
KEYTOKENS_INLINE void AddProducts(__m512i& acc, __m512i a, __m512i b) {
  asm("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
}
KEYTOKENS_INLINE void AddProducts(__m512& acc, __m512 a, __m512 b) {
  asm("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
}

// sums += steps * x w^T of 8 rows and one block of a panel; `first` starts them anew.
template <bool first>
KEYTOKENS_LOOP void Tile(const int16_t* x, const float* steps, int64_t width, const int16_t* w, float (*sums)[kPanel]) {
  __m512i acc[kTileRows][3];
#pragma GCC unroll 8
  for (int i = 0; i < kTileRows; i++) acc[i][0] = acc[i][1] = acc[i][2] = _mm512_setzero_si512();
  for (int64_t d = 0; d < width; d += 2, w += 2 * kPanel) {
    const __m512i w0 = _mm512_loadu_si512(w), w1 = _mm512_loadu_si512(w + 32), w2 = _mm512_loadu_si512(w + 64);
#pragma GCC unroll 8
    for (int i = 0; i < kTileRows; i++) {
      int32_t pair;
      std::memcpy(&pair, x + i * width + d, 4);
      const __m512i a = _mm512_set1_epi32(pair);
      AddProducts(acc[i][0], w0, a);
      AddProducts(acc[i][1], w1, a);
      AddProducts(acc[i][2], w2, a);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kTileRows; i++) {
    const __m512 step = _mm512_set1_ps(steps[i]);
#pragma GCC unroll 3
    for (int j = 0; j < 3; j++) {
      const __m512 whole = _mm512_cvtepi32_ps(acc[i][j]);
      float* sum = sums[i] + 16 * j;
      _mm512_store_ps(sum, first ? _mm512_mul_ps(whole, step) : _mm512_fmadd_ps(whole, step, _mm512_load_ps(sum)));
    }
  }
}

template <class F>
KEYTOKENS_INLINE void Write(const float* sums, const float* steps, const float* bias, int64_t n, float* out, F f) {
  if (n == kPanel) {
    for (int64_t j = 0; j < kPanel; j++) out[j] = f(sums[j] * steps[j] + bias[j]);
  } else {
    for (int64_t j = 0; j < n; j++) out[j] = f(sums[j] * steps[j] + bias[j]);
  }
}

// out [n, size] = activation(x matrix^T + bias).
inline void Multiply(const Rounded& x, int64_t n, const Matrix& matrix, Activation activation, float* out) {
  const Cut& cut = matrix.cut;
  alignas(64) float sums[kRowBlock][kPanel];
  for (int64_t column = 0; column < matrix.size; column += kPanel) {
    const int16_t* panel = matrix.panels + column / kPanel * cut.panel_size();
    for (int64_t b = 0; b < cut.blocks; b++) {
      const int16_t* block = panel + kHeader + b * cut.width * kPanel;
      for (int64_t row = 0; row < n; row += kTileRows) {
        const int64_t at = b * kRowBlock + row;
        (b ? Tile<false> : Tile<true>)(x.numbers.data() + at * cut.width, &x.steps[at], cut.width, block, sums + row);
      }
    }
    float steps[kPanel];
    std::memcpy(steps, panel, sizeof(steps));
    const int64_t wide = std::min(kPanel, matrix.size - column);
    for (int64_t row = 0; row < n; row++) {
      const float *sum = sums[row], *bias = matrix.bias + column;
      float* to = out + row * matrix.size + column;
      switch (activation) {
        case kRelu: Write(sum, steps, bias, wide, to, [](float y) { return y > 0 || y != y ? y : 0.0f; }); break;
        case kGelu: Write(sum, steps, bias, wide, to, [](float y) { return Gelu(y); }); break;
        case kGeluTanh: Write(sum, steps, bias, wide, to, [](float y) { return GeluTanh(y); }); break;
        case kSilu: Write(sum, steps, bias, wide, to, [](float y) { return Silu(y); }); break;
        default: Write(sum, steps, bias, wide, to, [](float y) { return y; });
      }
    }
  }
}

#pragma GCC pop_options
#endif

}  // namespace keytokens

#endif  // KEYTOKENS_PRODUCT_H_
