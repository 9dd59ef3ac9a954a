// The inner loops of attention: scores, softmax, weighted sums, transposed keys. See attention.cc.

#ifndef KEYTOKENS_ATTENTION_LOOPS_H_
#define KEYTOKENS_ATTENTION_LOOPS_H_

#include <algorithm>
#include <cstdint>
#include <limits>

#include "product.h"
#include "vector_math.h"

namespace keytokens {

inline int64_t RoundUp(int64_t n, int64_t to) { return CeilDiv(n, to) * to; }

// Queries that go through together, and what they meet at once: vectors of keys, and of the numbers of values.
constexpr int64_t kQueries = kNarrow ? 4 : 8;
constexpr int64_t kKeyVectors = kNarrow ? 1 : 3;
constexpr int64_t kValueVectors = kNarrow ? 1 : 2;

// scores[i][0 ... 16 n - 1] = sum over d of queries[i][d] keys[d][...]; `keys` has rows of `stride` pairs.
template <int q, int n>
KEYTOKENS_LOOP void Scores(const int16_t* queries, int64_t width, const int16_t* keys, int64_t stride, int32_t* scores,
                           int64_t score_stride) {
  Ints acc[q][n];
  SumProducts(queries, width, keys, stride, acc);
#pragma GCC unroll 8
  for (int i = 0; i < q; i++)
#pragma GCC unroll 3
    for (int j = 0; j < n; j++) StoreInts(scores + i * score_stride + kLanes * j, acc[i][j]);
}

template <int q>
void AllScores(const int16_t* queries, int64_t width, const int16_t* keys, int64_t stride, int64_t count,
               int32_t* scores) {
  for (int64_t s = 0; s < count; s += kKeyVectors * kLanes) {
    const int16_t* from = keys + 2 * s;
    switch (std::min(kKeyVectors, (count - s) / kLanes)) {
      case 3: Scores<q, std::min<int>(3, kKeyVectors)>(queries, width, from, stride, scores + s, count); break;
      case 2: Scores<q, std::min<int>(2, kKeyVectors)>(queries, width, from, stride, scores + s, count); break;
      default: Scores<q, 1>(queries, width, from, stride, scores + s, count);
    }
  }
}

// out[i][...] = sum over s of weights[i][s] values[s][...], of some vectors; `values` has rows of `stride`.
template <int q>
KEYTOKENS_LOOP void Mix(const float* weights, int64_t weight_stride, int64_t num_keys, const float* values,
                        int64_t stride, float (*out)[kValueVectors * kLanes]) {
  Floats acc[q][kValueVectors];
#pragma GCC unroll 8
  for (int i = 0; i < q; i++)
#pragma GCC unroll 2
    for (int j = 0; j < kValueVectors; j++) acc[i][j] = Set(0.0f);
  for (int64_t s = 0; s < num_keys; s++, values += stride) {
    Floats some[kValueVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kValueVectors; j++) some[j] = Load(values + kLanes * j);
#pragma GCC unroll 8
    for (int i = 0; i < q; i++) {
      const Floats weight = Set(weights[i * weight_stride + s]);
#pragma GCC unroll 2
      for (int j = 0; j < kValueVectors; j++) AddProducts(acc[i][j], weight, some[j]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < q; i++)
#pragma GCC unroll 2
    for (int j = 0; j < kValueVectors; j++) Store(out[i] + kLanes * j, acc[i][j]);
}

// The larger of each two, and the largest of sixteen; a NaN is larger than anything.
KEYTOKENS_INLINE Floats LargerOrNan(Floats a, Floats b) { return Select(IsNan(b), b, Max(b, a)); }
KEYTOKENS_INLINE float LargestOrNan(Floats x) { return Bits(IsNan(x)) ? NAN : Largest(x); }

// Scores 0 .. n - 1, in units of 1 / scale of powers of two, to weights: from `keep` to `end` they are seen, the others
// become zero. Returns what makes the sum of the weights one.
inline float Softmax(int32_t* scores, int64_t n, int64_t keep, int64_t end, float scale) {
  Ints largest = SetInt(std::numeric_limits<int32_t>::min());
  // Most vectors are seen as a whole; only at the ends masks are made.
  const auto whole = [=](int64_t s) { return s >= keep && s + kLanes <= end; };
  const auto seen = [=](int64_t s) { return AndNot(First(end - s), First(keep - s)); };
  for (int64_t s = 0; s < n; s += kLanes) {
    const Ints larger = MaxInts(largest, LoadInts(scores + s));
    largest = whole(s) ? larger : Select(seen(s), larger, largest);
  }
  const Floats most = Set(static_cast<float>(LargestInt(largest))), units = Set(scale);
  Floats sums = Set(0.0f);
  for (int64_t s = 0; s < n; s += kLanes) {
    Floats weights = Exp2((ToFloats(LoadInts(scores + s)) - most) * units);
    if (!whole(s)) weights = Select(seen(s), weights, Set(0.0f));
    sums = sums + weights;
    Store(reinterpret_cast<float*>(scores + s), weights);
  }
  return 1.0f / Sum(sums);
}

// to[d][s] = from[s][d] of pairs; behind the last row stands it again, as far as a vector reaches.
inline void TransposePairs(const int16_t* from, int64_t n, int64_t width, int16_t* to, int64_t to_stride) {
  const int64_t pairs = width / 2;
  for (int64_t s = 0; s < n; s += kLanes)
    for (int64_t d = 0; d < pairs; d += kLanes) {
      Ints rows[kLanes];
      for (int64_t j = 0; j < kLanes; j++)
        rows[j] = LoadFirstInts(from + std::min(s + j, n - 1) * width + 2 * d, pairs - d);
      Transpose(rows);
      for (int64_t j = 0; j < std::min(kLanes, pairs - d); j++)
        StoreInts(to + 2 * ((d + j) * to_stride + s), rows[j]);
    }
}

}  // namespace keytokens

#endif  // KEYTOKENS_ATTENTION_LOOPS_H_
