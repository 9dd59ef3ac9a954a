// Rows times a packed matrix by exact sums of 16-bit integer products. See linear.py for the format.
//
// A panel is 64 rows of the matrix in two halves. A half holds its rows' 32 steps and the scales of its blocks, float32,
// then block after block the numbers as [width / 2][32][2], what vpdpwssd reads. A micro tile is 6 rows of x (4 where 6
// would compute more in vain) against a half (or half of one, where registers are narrow): 12 accumulators of integers
// for a block, 12 of float32 for the row, so that nothing is stored in between, which takes longer than it seems; so does
// storing results from there. An integer sum is exact whatever its order, so a row's result depends on nothing but the
// row. A panel's results are a block of the next product's left side.

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

constexpr int64_t kPanel = 64;
constexpr int64_t kHalf = kPanel / 2;
constexpr int64_t kTileRows = 6;
constexpr int64_t kLowTileRows = 4;
constexpr int64_t kVectors = kPanel / kLanes;

// How many of the rows that are left the next tile takes.
inline int64_t TileSize(int64_t left) { return left <= 4 || left == 7 || left == 8 ? kLowTileRows : kTileRows; }

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
// steps [block][kRowBlock].
struct Rounded {
  std::vector<int16_t> numbers;
  std::vector<float> steps;
};

// The largest norm of a block of x: rounding adds at most sqrt(width) / 2, and with 32,767 no number of it is larger. The
// product with 65,536, the largest of a block of a matrix, is below 2^31.
inline float LargestNorm(int64_t width) { return 32767.0f - 0.5f * std::sqrt(static_cast<float>(width)) - 1.0f; }

// The sums of squares of `count` rows of n numbers that lie `stride` apart; zeros for the others.
KEYTOKENS_INLINE Floats SquaresOf(const float* x, int64_t stride, int64_t count, int64_t n) {
  Floats squares[kLanes];
  for (int64_t row = 0; row < kLanes; row++) {
    squares[row] = Set(0.0f);
    if (row >= count) continue;
    for (int64_t d = 0; d < n; d += kLanes) {
      const Floats some = LoadFirst(x + row * stride + d, n - d);
      squares[row] = MulAdd(some, some, squares[row]);
    }
  }
  return LaneSums(squares);
}

// The smallest steps with which no sum of `width` products overflows; NaN for what is not finite.
KEYTOKENS_INLINE Floats Steps(Floats squares, int64_t width) {
  // What is added is more than the squares of float32 can lose below its smallest number.
  const Floats norms = Sqrt(squares + Set(1e-34f));
  const Mask finite = Greater(Set(INFINITY), squares);
  return Select(finite, norms * Set(1.0f / LargestNorm(width)), Set(NAN));
}

// n numbers as whole multiples of the step, zeros behind them up to `width`.
KEYTOKENS_INLINE void ToIntegers(const float* x, int64_t n, int64_t width, float step, int16_t* out) {
  const Floats inverse = Set(1.0f / step);
  int64_t d = 0;
  for (; d + kLanes <= n; d += kLanes) StoreShorts(out + d, RoundToInts(Load(x + d) * inverse));
  for (; d < width; d += kLanes) StoreFirstShorts(out + d, RoundToInts(LoadFirst(x + d, n - d) * inverse), width - d);
}

// Makes room, and only ever grows: fresh memory would cost a page fault every 2,048 numbers.
inline void Fit(const Cut& cut, Rounded& out) {
  out.numbers.resize(std::max<size_t>(out.numbers.size(), cut.blocks * kRowBlock * cut.width));
  out.steps.resize(std::max<size_t>(out.steps.size(), cut.blocks * kRowBlock));
}

// Block b of n rows, whose numbers begin at x and lie `stride` apart. What is not finite makes a step so, and with it the
// result.
inline void RoundBlock(const float* x, int64_t stride, int64_t n, const Cut& cut, int64_t b, Rounded& out) {
  const int64_t size = std::min(cut.width, cut.dim - b * cut.width);
  for (int64_t group = 0; group < n; group += kLanes) {
    const int64_t end = std::min(n, group + kLanes), at = b * kRowBlock;
    Store(&out.steps[at + group], Steps(SquaresOf(x + group * stride, stride, end - group, size), cut.width));
    for (int64_t row = group; row < end; row++)
      ToIntegers(x + row * stride, size, cut.width, out.steps[at + row], &out.numbers[(at + row) * cut.width]);
  }
}

// n rows [n, dim].
inline void RoundRows(const float* x, int64_t n, const Cut& cut, Rounded& out) {
  Fit(cut, out);
  for (int64_t b = 0; b < cut.blocks; b++) RoundBlock(x + b * cut.width, cut.dim, n, cut, b, out);
}

// Loops whose accumulators fill the registers are functions of their own: inlined among other variables, GCC 12 may keep
// the accumulators in memory, at half of the speed.
#define KEYTOKENS_LOOP __attribute__((noinline))

// acc[i][j] = sum over d of x[i][d] w[d][16 j ... 16 j + 15], exactly; x has rows of `width`, w of `stride` pairs.
template <int rows, int vectors>
KEYTOKENS_INLINE void SumProducts(const int16_t* x, int64_t width, const int16_t* w, int64_t stride,
                                  Ints (&acc)[rows][vectors]) {
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < vectors; j++) acc[i][j] = SetInt(0);
  for (int64_t d = 0; d < width; d += 2, w += 2 * stride) {
    Ints numbers[vectors];
#pragma GCC unroll 4
    for (int j = 0; j < vectors; j++) numbers[j] = LoadInts(w + 2 * kLanes * j);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
      int32_t pair;
      std::memcpy(&pair, x + i * width + d, 4);
      const Ints a = SetInt(pair);
#pragma GCC unroll 4
      for (int j = 0; j < vectors; j++) AddProducts(acc[i][j], numbers[j], a);
    }
  }
}

// How many vectors of columns of half a panel go through together.
constexpr int kTileVectors = kNarrow ? 1 : kHalf / kLanes;

// sums [rows][kTileVectors vectors] = x w^T of some rows and columns of the blocks of half a panel, in units of the
// half's steps.
template <int rows>
KEYTOKENS_LOOP void Tile(const int16_t* x, const float* steps, const Cut& cut, const int16_t* block,
                         float (*sums)[kPanel]) {
  Floats of_rows[rows][kTileVectors];
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int j = 0; j < kTileVectors; j++) of_rows[i][j] = Set(0.0f);
  for (int64_t b = 0; b < cut.blocks; b++) {
    Ints acc[rows][kTileVectors];
    SumProducts(x, cut.width, block, kHalf, acc);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
      for (int j = 0; j < kTileVectors; j++)
        of_rows[i][j] = MulAdd(ToFloats(acc[i][j]), Set(steps[i]), of_rows[i][j]);
    x += kRowBlock * cut.width;
    steps += kRowBlock;
    block += cut.block_size();
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int j = 0; j < kTileVectors; j++) Store(sums[i] + kLanes * j, of_rows[i][j]);
}

// Where a panel's results go: rows `stride` apart.
struct Rows {
  float* first;
  int64_t stride;

  // Asks for the lines of half a panel's results in rows `from` to `to`, to write to. They are asked for while the sums
  // are computed: stores to lines that are still in a cache shared by all cores took 3 % of the time.
  void Claim(int64_t from, int64_t to, int64_t half) const {
    for (int64_t row = from; row < to; row++)
      for (int64_t j = 0; j < kHalf; j += kLanes) __builtin_prefetch(first + row * stride + half * kHalf + j, 1);
  }
};

// y = f(sums steps + bias), of 64 columns or fewer.
template <class F>
KEYTOKENS_INLINE void Finish(const float* const (&steps)[2], const float* bias, int64_t n, const float (*sums)[kPanel],
                             int64_t columns, Rows y, F f) {
  Floats some_bias[kVectors], some_steps[kVectors];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; j++) {
    some_bias[j] = LoadFirst(bias + kLanes * j, columns - kLanes * j);
    some_steps[j] = Load(steps[j / 2] + j % 2 * kLanes);
  }
  for (int64_t row = 0; row < n; row++) {
    float* out = y.first + row * y.stride;
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) {
      const Floats some = f(MulAdd(Load(sums[row] + kLanes * j), some_steps[j], some_bias[j]));
      if (columns == kPanel) {  // a store under a mask is slower
        Store(out + kLanes * j, some);
      } else {
        StoreFirst(out + kLanes * j, some, columns - kLanes * j);
      }
    }
  }
}

// y = activation(x matrix^T + bias) of the columns of panel p.
inline void MultiplyPanel(const Rounded& x, int64_t n, const Matrix& matrix, int64_t p, Activation activation, Rows y) {
  thread_local std::vector<float> scaled;  // steps of x times the scales of half a panel
  scaled.resize(x.steps.size());
  alignas(64) float sums[kRowBlock][kPanel];
  const float* steps[2];
  const Cut& cut = matrix.cut;
  for (int64_t half = 0; half < 2; half++) {
    const int16_t* data = matrix.panels + (2 * p + half) * cut.half_size();
    steps[half] = reinterpret_cast<const float*>(data);
    const float* scales = steps[half] + kHalf;
    for (int64_t b = 0; b < cut.blocks; b++)
      for (int64_t row = 0; row < kRowBlock; row++)
        scaled[b * kRowBlock + row] = x.steps[b * kRowBlock + row] * scales[b];
    const int16_t* blocks = data + 2 * kHalf + cut.scales_size();
    for (int64_t row = 0, size; row < n; row += size) {
      size = TileSize(n - row);
      const auto tile = size == kTileRows ? Tile<kTileRows> : Tile<kLowTileRows>;
      y.Claim(row, std::min(n, row + size), half);
      for (int64_t j = 0; j < kHalf; j += kTileVectors * kLanes)
        tile(&x.numbers[row * cut.width], &scaled[row], cut, blocks + 2 * j,
             reinterpret_cast<float(*)[kPanel]>(&sums[row][half * kHalf + j]));
    }
  }
  const float* bias = matrix.bias + p * kPanel;
  const int64_t columns = std::min(kPanel, matrix.size - p * kPanel);
  const auto finish = [&](auto f) { Finish(steps, bias, n, sums, columns, y, f); };
  switch (activation) {
    case kRelu: finish([](Floats v) { return PositivePart(v); }); break;
    case kGelu: finish([](Floats v) { return Gelu(v); }); break;
    case kGeluTanh: finish([](Floats v) { return GeluTanh(v); }); break;
    case kSilu: finish([](Floats v) { return Silu(v); }); break;
    default: finish([](Floats v) { return v; });
  }
}

// out [n, size] = activation(x matrix^T + bias).
inline void Multiply(const Rounded& x, int64_t n, const Matrix& matrix, Activation activation, float* out) {
  for (int64_t p = 0; p * kPanel < matrix.size; p++)
    MultiplyPanel(x, n, matrix, p, activation, {out + p * kPanel, matrix.size});
}

}  // namespace keytokens

#endif  // KEYTOKENS_PRODUCT_H_
