// Products in float32 of rows with the few tokens that each has kept. A row of the head is long and lies in memory, so
// that reading is what takes time: each is read once, however many rows want it.

#ifndef KEYTOKENS_RESCORE_H_
#define KEYTOKENS_RESCORE_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kept.h"
#include "parallel.h"
#include "vector_math.h"

namespace keytokens {

// A row and the i-th of the tokens that it has kept.
struct Pair {
  int32_t row, i, token;
};

// All pairs, by token, then by row.
inline std::vector<Pair> Pairs(const std::vector<std::vector<Candidate>>& kept, int64_t num_tokens) {
  std::vector<int32_t> places(num_tokens + 1);  // counts of the tokens before, and so where the next of a token goes
  for (const auto& tokens : kept)
    for (const Candidate& one : tokens) places[one.token + 1]++;
  for (int64_t token = 0; token < num_tokens; token++) places[token + 1] += places[token];
  std::vector<Pair> pairs(places[num_tokens]);
  for (size_t row = 0; row < kept.size(); row++)
    for (size_t i = 0; i < kept[row].size(); i++) {
      const int32_t token = kept[row][i].token;
      pairs[places[token]++] = {static_cast<int32_t>(row), static_cast<int32_t>(i), token};
    }
  return pairs;
}

// a b. Both b and `next`, of one of the next calls, lie in memory: asking for it line by line as b is read, instead of
// all at once, saved a third of the time.
template <class T>
float Dot(const float* a, const T* b, int64_t n, const T* next) {
  Floats sums[4] = {Set(0.0f), Set(0.0f), Set(0.0f), Set(0.0f)};
  for (int64_t d = 0; d < n; d += 4 * kLanes)
#pragma GCC unroll 4
    for (int64_t j = 0; j < 4; j++) {
      const int64_t at = d + kLanes * j, left = n - at;
      __builtin_prefetch(next + at, 0, 2);
      sums[j] = MulAdd(LoadFirst(a + at, left), LoadFirst(b + at, left), sums[j]);
    }
  return Sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Hands sink(pair, product) those of x [rows][dim] and weight [tokens][dim].
template <class T, class Sink>
void Rescore(xla::ffi::ThreadPool& pool, const std::vector<Pair>& pairs, const float* x, const T* weight, int64_t dim,
             const Sink& sink) {
  constexpr int64_t kAhead = 4, kPiece = 256;
  const int64_t size = pairs.size();
  Parallel(pool, CeilDiv(size, kPiece), [&](int64_t piece) {
    const int64_t end = std::min(size, (piece + 1) * kPiece);
    for (int64_t j = piece * kPiece; j < end; j++) {
      const T* next = weight + pairs[std::min(j + kAhead, end - 1)].token * dim;
      sink(pairs[j], Dot(x + pairs[j].row * dim, weight + pairs[j].token * dim, dim, next));
    }
  });
}

}  // namespace keytokens

#endif  // KEYTOKENS_RESCORE_H_
