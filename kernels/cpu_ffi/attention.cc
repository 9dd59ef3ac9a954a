// Attention of texts that are packed into rows, as one XLA FFI handler: each run of equal segment ids is a text of its
// own, and only pairs of one text are ever computed. See attention.py.
//
// A piece of work is one head of one text. Scores are exact sums of 16-bit integer products: each query is rounded to
// multiples of its own step, the keys of the text to multiples of one step. Keys are transposed and values copied, so that
// both products run over whole vectors; eight queries at a time have their scores, weights and sums in the first cache.
// Nothing depends on where in the row a text stands.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "parallel.h"
#include "product.h"
#include "vector_math.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace keytokens {
namespace {

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,prefer-vector-width=512")

constexpr int64_t kQueries = 8;
constexpr int64_t kKeyVectors = 3;
constexpr int64_t kLanes = 16;

struct Run {
  int64_t first, length;  // of the tokens of all rows
};

// Of one head of one text; padded to whole groups of queries, pairs of numbers and vectors of keys.
struct Scratch {
  std::vector<int16_t> queries, rows, keys;  // [queries][width], [keys][width], [width / 2][keys][2]
  std::vector<float> steps, values;          // of each query; [keys][whole pairs of vectors]
  std::vector<int32_t> scores;               // [kQueries][keys]; weights afterwards
};

inline int64_t RoundUp(int64_t n, int64_t to) { return CeilDiv(n, to) * to; }

// scores[i][0 ... 16 n - 1] = sum over d of queries[i][d] keys[d][...]; `keys` has rows of `stride` pairs.
template <int q, int n>
KEYTOKENS_LOOP void Scores(const int16_t* queries, int64_t width, const int16_t* keys, int64_t stride, int32_t* scores,
                           int64_t score_stride) {
  __m512i acc[q][n];
#pragma GCC unroll 8
  for (int i = 0; i < q; i++)
#pragma GCC unroll 3
    for (int j = 0; j < n; j++) acc[i][j] = _mm512_setzero_si512();
  for (int64_t d = 0; d < width; d += 2, keys += 2 * stride) {
    __m512i k[n];
#pragma GCC unroll 3
    for (int j = 0; j < n; j++) k[j] = _mm512_loadu_si512(keys + 2 * kLanes * j);
#pragma GCC unroll 8
    for (int i = 0; i < q; i++) {
      int32_t pair;
      std::memcpy(&pair, queries + i * width + d, 4);
      const __m512i a = _mm512_set1_epi32(pair);
#pragma GCC unroll 3
      for (int j = 0; j < n; j++) AddProducts(acc[i][j], k[j], a);
    }
  }
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

// 2^x for x <= 0 within 1e-7 of it: a minimax fit on [-1/2, 1/2], scaled; NaN stays.
inline __m512 Exp2(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_sub_ps(x, whole);
  __m512 p = _mm512_set1_ps(1.326472684e-3f);
  for (const float c : {9.671512666e-3f, 5.550733744e-2f, 2.402224208e-1f, 6.931469776e-1f, 1.0f})
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
  return _mm512_scalef_ps(p, whole);
}

// Scores 0 .. n - 1, in units of 1 / scale of powers of two, to weights: from `keep` to `end` they are seen, the others
// become zero. Returns what makes the sum of the weights one.
float Softmax(int32_t* scores, int64_t n, int64_t keep, int64_t end, float scale) {
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

// A head's numbers lie a row apart, too far for the hardware to foresee: asks for those of the row `kRowsAhead` further.
constexpr int64_t kRowsAhead = 12;
inline void Foresee(const float* row, int64_t stride, int64_t dim) {
  for (int64_t d = 0; d < dim; d += kLanes) _mm_prefetch(row + kRowsAhead * stride + d, _MM_HINT_T0);
}

// n rows of `dim` numbers.
void Copy(const float* __restrict__ from, int64_t from_stride, int64_t n, int64_t dim, float* __restrict__ to,
          int64_t to_stride) {
  for (int64_t s = 0; s < n; s++, from += from_stride, to += to_stride) {
    Foresee(from, from_stride, dim);
    for (int64_t d = 0; d < dim; d++) to[d] = from[d];
  }
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
void TransposePairs(const int16_t* from, int64_t n, int64_t width, int16_t* to, int64_t to_stride) {
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

struct Heads {
  const float *queries, *keys, *values;
  float* out;
  int64_t num_heads, num_kv_heads, dim, behind, ahead;
  float scale;
};

// Queries from `first` on, at most q of them, of a text whose first query is at `out`.
template <int q>
void AttendQueries(const Heads& h, const Run& run, int64_t first, int64_t width, int64_t stride, Scratch& scratch,
                   float* out) {
  const int64_t last = std::min(run.length, first + q) - 1, value_width = RoundUp(h.dim, 2 * kLanes);
  // Keys that some of these queries see, from a whole vector on.
  const int64_t low = h.behind < 0 ? 0 : std::max<int64_t>(0, first - h.behind) / kLanes * kLanes;
  const int64_t high = h.ahead < 0 ? run.length : std::min(run.length, last + h.ahead + 1);
  const int64_t count = RoundUp(high - low, kLanes);
  AllScores<q>(&scratch.queries[first * width], width, &scratch.keys[2 * low], stride, count, scratch.scores.data());
  const float* weights = reinterpret_cast<const float*>(scratch.scores.data());
  float scales[q], mixed[q][2 * kLanes];
  for (int64_t i = 0; i < q; i++) {
    const int64_t at = std::min(first + i, last);
    const int64_t keep = h.behind < 0 ? 0 : std::max<int64_t>(0, at - h.behind) - low;
    const int64_t end = (h.ahead < 0 ? run.length : std::min(run.length, at + h.ahead + 1)) - low;
    scales[i] = Softmax(&scratch.scores[i * count], count, keep, end, scratch.steps[at]);
  }
  for (int64_t d = 0; d < h.dim; d += 2 * kLanes) {
    Mix<q>(weights, count, high - low, &scratch.values[low * value_width + d], value_width, mixed);
    for (int64_t i = 0; first + i <= last; i++)
      for (int64_t j = 0; j < std::min(2 * kLanes, h.dim - d); j++)
        out[(first + i) * h.num_heads * h.dim + d + j] = scales[i] * mixed[i][j];
  }
}

void AttendRun(const Heads& h, const Run& run, int64_t head, Scratch& scratch) {
  const int64_t n = run.length, dim = h.dim, width = RoundUp(dim, 2), stride = RoundUp(n, kLanes);
  const int64_t query_row = h.num_heads * dim, key_row = h.num_kv_heads * dim;
  const int64_t kv_offset = run.first * key_row + head / (h.num_heads / h.num_kv_heads) * dim;
  const int64_t offset = run.first * query_row + head * dim, value_width = RoundUp(dim, 2 * kLanes);
  const float *queries = h.queries + offset, *keys = h.keys + kv_offset;
  scratch.queries.resize(RoundUp(n, kQueries) * width);
  scratch.steps.resize(n);
  scratch.rows.resize(n * width);
  scratch.keys.resize(width * stride);
  scratch.values.resize(n * value_width);
  scratch.scores.resize(kQueries * stride);
  Size largest;
  for (int64_t s = 0; s < n; s++) {
    Foresee(keys + s * key_row, key_row, dim);
    largest = Larger(largest, SizeOf(keys + s * key_row, dim));
  }
  const float key_step = Steps(Sizes(largest), width)[0];
  for (int64_t s = 0; s < n; s++) ToIntegers(keys + s * key_row, dim, width, key_step, &scratch.rows[s * width]);
  TransposePairs(scratch.rows.data(), n, width, scratch.keys.data(), stride);
  const float powers_of_two = 1.44269504f * h.scale * key_step;
  for (int64_t group = 0; group < n; group += kLanes) {
    Sizes sizes;
    const int64_t here = std::min(kLanes, n - group);
    for (int64_t t = 0; t < here; t++) {
      const float* row = queries + (group + t) * query_row;
      Foresee(row, query_row, dim);
      sizes.Set(t, SizeOf(row, dim));
    }
    alignas(64) float steps[kLanes];
    _mm512_store_ps(steps, Steps(sizes, width));
    for (int64_t t = 0; t < here; t++) {
      ToIntegers(queries + (group + t) * query_row, dim, width, steps[t], &scratch.queries[(group + t) * width]);
      scratch.steps[group + t] = powers_of_two * steps[t];
    }
  }
  if (value_width > dim) std::fill(scratch.values.begin(), scratch.values.end(), 0.0f);
  Copy(h.values + kv_offset, key_row, n, dim, scratch.values.data(), value_width);
  for (int64_t first = 0; first < n;) {
    if (n - first > kQueries / 2) {
      AttendQueries<kQueries>(h, run, first, width, stride, scratch, h.out + offset);
      first += kQueries;
    } else {
      AttendQueries<kQueries / 2>(h, run, first, width, stride, scratch, h.out + offset);
      first += kQueries / 2;
    }
  }
}

ffi::Error Attend(ffi::ThreadPool pool, float scale, int64_t behind, int64_t ahead, ffi::Buffer<ffi::F32> queries,
                  ffi::Buffer<ffi::F32> keys, ffi::Buffer<ffi::F32> values, ffi::Buffer<ffi::S32> segments,
                  ffi::ResultBuffer<ffi::F32> out) {
  const auto shape = queries.dimensions();
  const int64_t rows = shape[0], length = shape[1];
  const Heads h{queries.typed_data(), keys.typed_data(), values.typed_data(), out->typed_data(), shape[2],
                keys.dimensions()[2], shape[3], behind, ahead, scale};
  std::vector<Run> runs;
  for (int64_t row = 0; row < rows; row++)
    for (int64_t t = 0, end; t < length; t = end) {
      const int32_t* segment = segments.typed_data() + row * length;
      for (end = t + 1; end < length && segment[end] == segment[t]; end++) {
      }
      if (segment[t] > 0) {
        runs.push_back({row * length + t, end - t});
      } else {
        const int64_t width = h.num_heads * h.dim;
        std::fill(h.out + (row * length + t) * width, h.out + (row * length + end) * width, 0.0f);
      }
    }
  Parallel(pool, runs.size() * h.num_heads, [&](int64_t piece) {
    thread_local Scratch scratch;
    AttendRun(h, runs[piece / h.num_heads], piece % h.num_heads, scratch);
  });
  return ffi::Error::Success();
}
#pragma GCC pop_options
#else
ffi::Error Attend(ffi::ThreadPool, float, int64_t, int64_t, ffi::Buffer<ffi::F32>, ffi::Buffer<ffi::F32>,
                  ffi::Buffer<ffi::F32>, ffi::Buffer<ffi::S32>, ffi::ResultBuffer<ffi::F32>) {
  return ffi::Error::InvalidArgument("attention of packed texts is written for x86 with AVX-512");
}
#endif

}  // namespace
}  // namespace keytokens

using F32 = xla::ffi::Buffer<xla::ffi::F32>;
extern "C" __attribute__((visibility("default"))) XLA_FFI_Error* KeytokensAttend(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    KeytokensAttend, keytokens::Attend,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attr<float>("scale").Attr<int64_t>("behind").Attr<int64_t>("ahead")
        .Arg<F32>().Arg<F32>().Arg<F32>().Arg<ffi::Buffer<ffi::S32>>().Ret<F32>());
