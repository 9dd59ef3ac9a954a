// Rows times a packed matrix by exact sums of 16-bit integer products. See linear.py for the format.
//
// A panel is 64 rows of the matrix in two halves. A half holds its rows' 32 steps and the scales of its blocks, float32,
// then block after block the numbers as [width / 2][32][2], what vpdpwssd reads. A micro tile is 6 rows of x against a
// half: 12 accumulators of integers for a block, 12 of float32 for the row, so that nothing is stored in between, which
// takes longer than it seems; so does storing results from there. An integer sum is exact whatever its order, so a row's
// result depends on nothing but the row. A panel's results are a block of the next product's left side.

#ifndef KEYTOKENS_PRODUCT_H_
#define KEYTOKENS_PRODUCT_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "vector_math.h"

namespace keytokens {

constexpr int64_t kRowBlock = 48;  // the most rows that go through together

enum Activation { kNone, kRelu, kGelu, kGeluTanh, kSilu };

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,prfchw,prefer-vector-width=512")

constexpr int64_t kPanel = 64;
constexpr int64_t kHalf = kPanel / 2;
constexpr int64_t kTileRows = 6;
constexpr int64_t kVectors = kPanel / 16;

// Rows in pieces of whole tiles, as even as can be.
struct Split {
  int64_t rows, tiles, pieces;

  Split(int64_t rows, int64_t pieces)
      : rows(rows), tiles(CeilDiv(rows, kTileRows)), pieces(std::min(pieces, tiles)) {}
  int64_t First(int64_t piece) const { return std::min(rows, piece * tiles / pieces * kTileRows); }
  int64_t Size(int64_t piece) const { return First(piece + 1) - First(piece); }
};

// How rows of `dim` numbers are cut into blocks.
struct Cut {
  int64_t dim, blocks, width;

  explicit Cut(int64_t dim)
      : dim(dim), blocks(CeilDiv(dim, kPanel)), width(std::min<int64_t>(kPanel, dim + dim % 2)) {}
  // In units of int16: of the scales, filled up to whole vectors, of a block, and of half a panel.
  int64_t scales_size() const { return 2 * CeilDiv(blocks, 16) * 16; }
  int64_t block_size() const { return width * kHalf; }
  int64_t half_size() const { return 2 * kHalf + scales_size() + blocks * block_size(); }
};

// [out, dim], packed, with a bias [out].
struct Matrix {
  Cut cut;
  const int16_t* panels;
  const float* bias;
  int64_t size;
};

// Up to kRowBlock rows as integers [block][kRowBlock][width], what a block of a panel meets side by side, and their
// steps [block][kRowBlock]; with room for the steps times the scales of half a panel.
struct Rounded {
  std::vector<int16_t> numbers;
  std::vector<float> steps, scaled;
};

// The first n lanes of a vector of 16.
inline __mmask16 Lanes(int64_t n) { return static_cast<__mmask16>(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1); }

// The largest norm of a block of x: rounding adds at most sqrt(width) / 2, and with 32,767 no number of it is larger. The
// product with 65,536, the largest of a block of a matrix, is below 2^31.
inline float LargestNorm(int64_t width) { return 32767.0f - 0.5f * std::sqrt(static_cast<float>(width)) - 1.0f; }

// The sums of the lanes of each vector, one after the other.
KEYTOKENS_INLINE __m512 LaneSums(__m512 (&rows)[16]) {
  const auto as_pairs = [](__m512 v) { return _mm512_castps_pd(v); };
  const auto as_singles = [](__m512d v) { return _mm512_castpd_ps(v); };
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++)
    rows[i] = _mm512_add_ps(_mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]),
                            _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]));
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    const __m512d a = as_pairs(rows[2 * i]), b = as_pairs(rows[2 * i + 1]);
    rows[i] = _mm512_add_ps(as_singles(_mm512_unpacklo_pd(a, b)), as_singles(_mm512_unpackhi_pd(a, b)));
  }
  const auto quarters = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  };
  return quarters(quarters(rows[0], rows[1]), quarters(rows[2], rows[3]));
}

// The sums of squares of `count` rows of n numbers that lie `stride` apart; zeros for the others.
KEYTOKENS_INLINE __m512 SquaresOf(const float* x, int64_t stride, int64_t count, int64_t n) {
  __m512 squares[16];
  for (int64_t row = 0; row < 16; row++) {
    squares[row] = _mm512_setzero_ps();
    if (row >= count) continue;
    for (int64_t d = 0; d < n; d += 16) {
      const __m512 some = _mm512_maskz_loadu_ps(Lanes(n - d), x + row * stride + d);
      squares[row] = _mm512_fmadd_ps(some, some, squares[row]);
    }
  }
  return LaneSums(squares);
}

// The smallest steps with which no sum of `width` products overflows; NaN for what is not finite.
inline __m512 Steps(__m512 squares, int64_t width) {
  // What is added is more than the squares of float32 can lose below its smallest number.
  const __m512 norms = _mm512_sqrt_ps(_mm512_add_ps(squares, _mm512_set1_ps(1e-34f)));
  const __mmask16 finite = _mm512_cmp_ps_mask(squares, _mm512_set1_ps(INFINITY), _CMP_LT_OQ);  // false for NaN
  return _mm512_mask_mul_ps(_mm512_set1_ps(NAN), finite, norms, _mm512_set1_ps(1.0f / LargestNorm(width)));
}

// n numbers as whole multiples of the step, zeros behind them up to `width`.
KEYTOKENS_INLINE void ToIntegers(const float* x, int64_t n, int64_t width, float step, int16_t* out) {
  const __m512 inverse = _mm512_set1_ps(1.0f / step);
  int64_t d = 0;
  for (; d + 16 <= n; d += 16) {
    const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + d), inverse));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + d), _mm512_cvtsepi32_epi16(whole));
  }
  for (; d < width; d += 16) {
    const __m512 numbers = _mm512_maskz_loadu_ps(Lanes(n - d), x + d);
    const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(numbers, inverse));
    _mm256_mask_storeu_epi16(out + d, Lanes(width - d), _mm512_cvtsepi32_epi16(whole));
  }
}

// Makes room, and only ever grows: fresh memory would cost a page fault every 2,048 numbers.
inline void Fit(const Cut& cut, Rounded& out) {
  out.numbers.resize(std::max<size_t>(out.numbers.size(), cut.blocks * kRowBlock * cut.width));
  out.steps.resize(std::max<size_t>(out.steps.size(), cut.blocks * kRowBlock));
  out.scaled.resize(out.steps.size());
}

// Block b of n rows, whose numbers begin at x and lie `stride` apart. What is not finite makes a step so, and with it the
// result.
inline void RoundBlock(const float* x, int64_t stride, int64_t n, const Cut& cut, int64_t b, Rounded& out) {
  constexpr int64_t kGroup = 16;  // rows whose steps are found together
  const int64_t size = std::min(cut.width, cut.dim - b * cut.width);
  for (int64_t group = 0; group < n; group += kGroup) {
    const int64_t end = std::min(n, group + kGroup), at = b * kRowBlock;
    _mm512_storeu_ps(&out.steps[at + group], Steps(SquaresOf(x + group * stride, stride, end - group, size), cut.width));
    for (int64_t row = group; row < end; row++)
      ToIntegers(x + row * stride, size, cut.width, out.steps[at + row], &out.numbers[(at + row) * cut.width]);
  }
}

// n rows [n, dim].
inline void RoundRows(const float* x, int64_t n, const Cut& cut, Rounded& out) {
  Fit(cut, out);
  for (int64_t b = 0; b < cut.blocks; b++) RoundBlock(x + b * cut.width, cut.dim, n, cut, b, out);
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

// acc[i][j] = sum over d of x[i][d] w[d][16 j ... 16 j + 15], exactly; x has rows of `width`, w of `stride` pairs.
template <int rows, int vectors>
KEYTOKENS_INLINE void SumProducts(const int16_t* x, int64_t width, const int16_t* w, int64_t stride,
                                  __m512i (&acc)[rows][vectors]) {
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < vectors; j++) acc[i][j] = _mm512_setzero_si512();
  for (int64_t d = 0; d < width; d += 2, w += 2 * stride) {
    __m512i numbers[vectors];
#pragma GCC unroll 4
    for (int j = 0; j < vectors; j++) numbers[j] = _mm512_loadu_si512(w + 32 * j);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
      int32_t pair;
      std::memcpy(&pair, x + i * width + d, 4);
      const __m512i a = _mm512_set1_epi32(pair);
#pragma GCC unroll 4
      for (int j = 0; j < vectors; j++) AddProducts(acc[i][j], numbers[j], a);
    }
  }
}

// sums [6][32] = x w^T of 6 rows and the blocks of half a panel, in units of the half's steps.
KEYTOKENS_LOOP inline void Tile(const int16_t* x, const float* steps, const Cut& cut, const int16_t* block,
                                float (*sums)[kPanel]) {
  constexpr int kHalfVectors = kVectors / 2;
  __m512 of_rows[kTileRows][kHalfVectors];
#pragma GCC unroll 6
  for (int i = 0; i < kTileRows; i++)
#pragma GCC unroll 2
    for (int j = 0; j < kHalfVectors; j++) of_rows[i][j] = _mm512_setzero_ps();
  for (int64_t b = 0; b < cut.blocks; b++) {
    __m512i acc[kTileRows][kHalfVectors];
    SumProducts(x, cut.width, block, kHalf, acc);
#pragma GCC unroll 6
    for (int i = 0; i < kTileRows; i++)
#pragma GCC unroll 2
      for (int j = 0; j < kHalfVectors; j++)
        of_rows[i][j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i][j]), _mm512_set1_ps(steps[i]), of_rows[i][j]);
    x += kRowBlock * cut.width;
    steps += kRowBlock;
    block += cut.block_size();
  }
#pragma GCC unroll 6
  for (int i = 0; i < kTileRows; i++)
#pragma GCC unroll 2
    for (int j = 0; j < kHalfVectors; j++) _mm512_store_ps(sums[i] + 16 * j, of_rows[i][j]);
}

// Where a panel's results go: rows `stride` apart.
struct Rows {
  float* first;
  int64_t stride;

  // Asks for the lines of half a panel's results in rows `from` to `to`, to write to. They are asked for while the sums
  // are computed: stores to lines that are still in a cache shared by all cores took 3 % of the time.
  void Claim(int64_t from, int64_t to, int64_t half) const {
    for (int64_t row = from; row < to; row++)
      for (int64_t j = 0; j < kHalf; j += 16) __builtin_prefetch(first + row * stride + half * kHalf + j, 1);
  }
};

// y = f(sums steps + bias), of 64 columns or fewer.
template <class F>
KEYTOKENS_INLINE void Finish(const float* const (&steps)[2], const float* bias, int64_t n, const float (*sums)[kPanel],
                             int64_t columns, Rows y, F f) {
  __m512 some_bias[kVectors], some_steps[kVectors];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; j++) {
    some_bias[j] = _mm512_maskz_loadu_ps(Lanes(columns - 16 * j), bias + 16 * j);
    some_steps[j] = _mm512_loadu_ps(steps[j / 2] + j % 2 * 16);
  }
  for (int64_t row = 0; row < n; row++) {
    float* out = y.first + row * y.stride;
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) {
      const __m512 some = f(_mm512_fmadd_ps(_mm512_load_ps(sums[row] + 16 * j), some_steps[j], some_bias[j]));
      if (columns == kPanel) {  // a store under a mask is slower
        _mm512_storeu_ps(out + 16 * j, some);
      } else {
        _mm512_mask_storeu_ps(out + 16 * j, Lanes(columns - 16 * j), some);
      }
    }
  }
}

// y = activation(x matrix^T + bias) of the columns of panel p.
inline void MultiplyPanel(Rounded& x, int64_t n, const Matrix& matrix, int64_t p, Activation activation, Rows y) {
  alignas(64) float sums[kRowBlock][kPanel];
  const float* steps[2];
  const Cut& cut = matrix.cut;
  for (int64_t half = 0; half < 2; half++) {
    const int16_t* data = matrix.panels + (2 * p + half) * cut.half_size();
    steps[half] = reinterpret_cast<const float*>(data);
    const float* scales = steps[half] + kHalf;
    for (int64_t b = 0; b < cut.blocks; b++)
      for (int64_t row = 0; row < kRowBlock; row++)
        x.scaled[b * kRowBlock + row] = x.steps[b * kRowBlock + row] * scales[b];
    const int16_t* blocks = data + 2 * kHalf + cut.scales_size();
    for (int64_t row = 0; row < n; row += kTileRows) {
      y.Claim(row, std::min(n, row + kTileRows), half);
      Tile(&x.numbers[row * cut.width], &x.scaled[row], cut, blocks,
           reinterpret_cast<float(*)[kPanel]>(&sums[row][half * kHalf]));
    }
  }
  const float* bias = matrix.bias + p * kPanel;
  const int64_t columns = std::min(kPanel, matrix.size - p * kPanel);
  const auto finish = [&](auto f) { Finish(steps, bias, n, sums, columns, y, f); };
  switch (activation) {
    case kRelu: finish([](__m512 v) { return PositivePart(v); }); break;
    case kGelu: finish([](__m512 v) { return Gelu(v); }); break;
    case kGeluTanh: finish([](__m512 v) { return GeluTanh(v); }); break;
    case kSilu: finish([](__m512 v) { return Silu(v); }); break;
    default: finish([](__m512 v) { return v; });
  }
}

// out [n, size] = activation(x matrix^T + bias).
inline void Multiply(Rounded& x, int64_t n, const Matrix& matrix, Activation activation, float* out) {
  for (int64_t p = 0; p * kPanel < matrix.size; p++)
    MultiplyPanel(x, n, matrix, p, activation, {out + p * kPanel, matrix.size});
}

#pragma GCC pop_options
#endif

}  // namespace keytokens

#endif  // KEYTOKENS_PRODUCT_H_
