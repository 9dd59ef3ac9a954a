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

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,prfchw,prefer-vector-width=512")

constexpr int64_t kKeyVectors = 3;
constexpr int64_t kLanes = 16;

// scores[i][0 ... 16 n - 1] = sum over d of queries[i][d] keys[d][...]; `keys` has rows of `stride` pairs.
template <int q, int n>
KEYTOKENS_LOOP void Scores(const int16_t* queries, int64_t width, const int16_t* keys, int64_t stride, int32_t* scores,
                           int64_t score_stride) {
  __m512i acc[q][n];
  SumProducts(queries, width, keys, stride, acc);
#pragma GCC unroll 8
  for (int i = 0; i < q; i++)
#pragma GCC unroll 3
    for (int j = 0; j < n; j++) _mm512_storeu_si512(scores + i * score_stride + kLanes * j, acc[i][j]);
}

template <int q>
void AllScores(const int16_t* queries, int64_t width, const int16_t* keys, int64_t stride, int64_t count,
               int32_t* scores) {
  for (int64_t s = 0; s < count; s += kKeyVectors * kLanes) {
    const int16_t* from = keys + 2 * s;
    switch (std::min(kKeyVectors, (count - s) / kLanes)) {
      case 3: Scores<q, 3>(queries, width, from, stride, scores + s, count); break;
      case 2: Scores<q, 2>(queries, width, from, stride, scores + s, count); break;
      default: Scores<q, 1>(queries, width, from, stride, scores + s, count);
    }
  }
}

// out[i][0 .. 31] = sum over s of weights[i][s] values[s][...]; `values` has rows of `stride`.
template <int q>
KEYTOKENS_LOOP void Mix(const float* weights, int64_t weight_stride, int64_t num_keys, const float* values,
                        int64_t stride, float (*out)[2 * kLanes]) {
  __m512 acc[q][2];
#pragma GCC unroll 8
  for (int i = 0; i < q; i++) acc[i][0] = acc[i][1] = _mm512_setzero_ps();
  for (int64_t s = 0; s < num_keys; s++, values += stride) {
    const __m512 v0 = _mm512_loadu_ps(values), v1 = _mm512_loadu_ps(values + 16);
#pragma GCC unroll 8
    for (int i = 0; i < q; i++) {
      const __m512 w = _mm512_set1_ps(weights[i * weight_stride + s]);
      AddProducts(acc[i][0], w, v0);
      AddProducts(acc[i][1], w, v1);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < q; i++) {
    _mm512_storeu_ps(out[i], acc[i][0]);
    _mm512_storeu_ps(out[i] + 16, acc[i][1]);
  }
}

// The larger of each two, and the largest of sixteen; a NaN is larger than anything.
inline __m512 Larger(__m512 a, __m512 b) {
  return _mm512_mask_mov_ps(_mm512_max_ps(b, a), _mm512_cmp_ps_mask(b, b, _CMP_UNORD_Q), b);
}
inline float Largest(__m512 steps) {
  const bool is_nan = _mm512_cmp_ps_mask(steps, steps, _CMP_UNORD_Q);
  return is_nan ? NAN : _mm512_reduce_max_ps(steps);
}

// Scores 0 .. n - 1, in units of 1 / scale of powers of two, to weights: from `keep` to `end` they are seen, the others
// become zero. Returns what makes the sum of the weights one.
inline float Softmax(int32_t* scores, int64_t n, int64_t keep, int64_t end, float scale) {
  __m512i largest = _mm512_set1_epi32(std::numeric_limits<int32_t>::min());
  // Most vectors are seen as a whole; only at the ends masks are made.
  const auto whole = [=](int64_t s) { return s >= keep && s + kLanes <= end; };
  const auto seen = [=](int64_t s) -> __mmask16 { return Lanes(end - s) & ~Lanes(keep - s); };
  for (int64_t s = 0; s < n; s += kLanes)
    if (whole(s)) {
      largest = _mm512_max_epi32(largest, _mm512_loadu_si512(scores + s));
    } else {
      largest = _mm512_mask_max_epi32(largest, seen(s), largest, _mm512_loadu_si512(scores + s));
    }
  const __m512 most = _mm512_set1_ps(static_cast<float>(_mm512_reduce_max_epi32(largest)));
  const __m512 units = _mm512_set1_ps(scale);
  __m512 sums = _mm512_setzero_ps();
  for (int64_t s = 0; s < n; s += kLanes) {
    const __m512 below = _mm512_sub_ps(_mm512_cvtepi32_ps(_mm512_loadu_si512(scores + s)), most);
    __m512 weights = Exp2(_mm512_mul_ps(below, units));
    if (!whole(s)) weights = _mm512_maskz_mov_ps(seen(s), weights);
    sums = _mm512_add_ps(sums, weights);
    _mm512_storeu_ps(scores + s, weights);
  }
  return 1.0f / _mm512_reduce_add_ps(sums);
}

// Sixteen vectors of sixteen integers, transposed.
inline void Transpose(__m512i (&rows)[kLanes]) {
  __m512i other[kLanes];
  for (int i = 0; i < 16; i += 2) {  // pairs of rows: other[i], other[i + 1] hold columns 4 j, 4 j + 1 and 4 j + 2, 4 j + 3
    other[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    other[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)  // four rows: rows[i + c] holds columns 4 j + c
    for (int c = 0; c < 2; c++) {
      rows[i + 2 * c] = _mm512_unpacklo_epi64(other[i + c], other[i + 2 + c]);
      rows[i + 2 * c + 1] = _mm512_unpackhi_epi64(other[i + c], other[i + 2 + c]);
    }
  for (int c = 0; c < 4; c++) {
    const __m512i even01 = _mm512_shuffle_i32x4(rows[c], rows[4 + c], 0x88);
    const __m512i odd01 = _mm512_shuffle_i32x4(rows[c], rows[4 + c], 0xdd);
    const __m512i even23 = _mm512_shuffle_i32x4(rows[8 + c], rows[12 + c], 0x88);
    const __m512i odd23 = _mm512_shuffle_i32x4(rows[8 + c], rows[12 + c], 0xdd);
    other[c] = _mm512_shuffle_i32x4(even01, even23, 0x88);
    other[8 + c] = _mm512_shuffle_i32x4(even01, even23, 0xdd);
    other[4 + c] = _mm512_shuffle_i32x4(odd01, odd23, 0x88);
    other[12 + c] = _mm512_shuffle_i32x4(odd01, odd23, 0xdd);
  }
  for (int i = 0; i < 16; i++) rows[i] = other[i];
}

// to[d][s] = from[s][d] of pairs; behind the last row stands it again, as far as a vector reaches.
inline void TransposePairs(const int16_t* from, int64_t n, int64_t width, int16_t* to, int64_t to_stride) {
  const int64_t pairs = width / 2;
  for (int64_t s = 0; s < n; s += kLanes)
    for (int64_t d = 0; d < pairs; d += kLanes) {
      __m512i rows[kLanes];
      for (int64_t j = 0; j < kLanes; j++)
        rows[j] = _mm512_maskz_loadu_epi32(Lanes(pairs - d), from + std::min(s + j, n - 1) * width + 2 * d);
      Transpose(rows);
      for (int64_t j = 0; j < std::min(kLanes, pairs - d); j++)
        _mm512_storeu_si512(to + 2 * ((d + j) * to_stride + s), rows[j]);
    }
}

#pragma GCC pop_options
#endif

}  // namespace keytokens

#endif  // KEYTOKENS_ATTENTION_LOOPS_H_
