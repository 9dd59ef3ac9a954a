// What follows a sub-layer of a transformer: its input is added, and the sum perhaps normed.

#ifndef KEYTOKENS_JOIN_H_
#define KEYTOKENS_JOIN_H_

#include <cmath>
#include <cstdint>

#include "lanes.h"

namespace keytokens {

struct Join {
  const float* added;   // [rows, size]; null: nothing is
  const float* weight;  // [size]; null: no norm
  const float* bias;    // [size] of a layer norm; null: an RMS norm
  float eps;
};

// Sum of f(0) ... f(n - 1), sixteen apart.
template <class F>
KEYTOKENS_INLINE float Sum(int64_t n, F f) {
  float sums[16] = {};
  int64_t d = 0;
  for (; d + 16 <= n; d += 16)
    for (int64_t j = 0; j < 16; j++) sums[j] += f(d + j);
  for (int64_t j = 0; d + j < n; j++) sums[j] += f(d + j);
  float total = 0;
  for (int64_t j = 0; j < 16; j++) total += sums[j];
  return total;
}

// In place: n rows that begin at row `first` of the joined array.
inline void Apply(const Join& join, int64_t first, int64_t n, int64_t size, float* rows) {
  for (int64_t i = 0; i < n; i++) {
    float* __restrict__ row = rows + i * size;
    if (join.added) {
      const float* __restrict__ added = join.added + (first + i) * size;
      for (int64_t d = 0; d < size; d++) row[d] += added[d];
    }
    if (!join.weight) continue;
    const float* __restrict__ weight = join.weight;
    const float mean = join.bias ? Sum(size, [=](int64_t d) { return row[d]; }) / size : 0.0f;
    const float variance = Sum(size, [=](int64_t d) { return (row[d] - mean) * (row[d] - mean); }) / size;
    const float scale = 1.0f / std::sqrt(variance + join.eps);
    if (join.bias) {
      const float* __restrict__ bias = join.bias;
      for (int64_t d = 0; d < size; d++) row[d] = (row[d] - mean) * scale * weight[d] + bias[d];
    } else {
      for (int64_t d = 0; d < size; d++) row[d] = row[d] * scale * weight[d];
    }
  }
}

}  // namespace keytokens

#endif  // KEYTOKENS_JOIN_H_
