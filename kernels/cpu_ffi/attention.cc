// Attention of texts that are packed into rows, as one XLA FFI handler: each run of equal segment ids is a text of its
// own, and only pairs of one text are ever computed. See attention.py.
//
// A piece of work is one head of one text. Its keys are transposed and its values copied, so that both products run over
// whole vectors; six queries at a time have their scores, weights and sums in the first cache. Nothing depends on where
// in the row a text stands.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "parallel.h"
#include "vector_math.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace keytokens {
namespace {

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,prefer-vector-width=512")

constexpr int64_t kQueries = 6;
constexpr int64_t kKeys = 64;
constexpr int64_t kLanes = 16;

struct Run {
  int64_t first, length;  // of the tokens of all rows
};

struct Scratch {
  std::vector<float> queries, keys, values, scores;
};

inline int64_t RoundUp(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// scores[i][0 ... 16 n - 1] = sum over d of queries[i][d] keys[d][...]; `keys` has rows of `stride`.
template <int n>
void Scores(const float* queries, int64_t dim, const float* keys, int64_t stride, float* scores, int64_t score_stride) {
  __m512 acc[kQueries][n];
#pragma GCC unroll 6
  for (int i = 0; i < kQueries; i++)
#pragma GCC unroll 4
    for (int j = 0; j < n; j++) acc[i][j] = _mm512_setzero_ps();
  for (int64_t d = 0; d < dim; d++, keys += stride) {
    __m512 k[n];
#pragma GCC unroll 4
    for (int j = 0; j < n; j++) k[j] = _mm512_loadu_ps(keys + kLanes * j);
#pragma GCC unroll 6
    for (int i = 0; i < kQueries; i++) {
      const __m512 q = _mm512_set1_ps(queries[i * dim + d]);
#pragma GCC unroll 4
      for (int j = 0; j < n; j++) acc[i][j] = _mm512_fmadd_ps(q, k[j], acc[i][j]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kQueries; i++)
#pragma GCC unroll 4
    for (int j = 0; j < n; j++) _mm512_storeu_ps(scores + i * score_stride + kLanes * j, acc[i][j]);
}

// out[i][0 .. 31] = sum over s of weights[i][s] values[s][...]; `values` has rows of `stride`.
void Mix(const float* weights, int64_t weight_stride, int64_t num_keys, const float* values, int64_t stride,
         float (*out)[2 * kLanes]) {
  __m512 acc[kQueries][2];
#pragma GCC unroll 6
  for (int i = 0; i < kQueries; i++) acc[i][0] = acc[i][1] = _mm512_setzero_ps();
  for (int64_t s = 0; s < num_keys; s++, values += stride) {
    const __m512 v0 = _mm512_loadu_ps(values), v1 = _mm512_loadu_ps(values + 16);
#pragma GCC unroll 6
    for (int i = 0; i < kQueries; i++) {
      const __m512 w = _mm512_set1_ps(weights[i * weight_stride + s]);
      acc[i][0] = _mm512_fmadd_ps(w, v0, acc[i][0]);
      acc[i][1] = _mm512_fmadd_ps(w, v1, acc[i][1]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kQueries; i++) {
    _mm512_storeu_ps(out[i], acc[i][0]);
    _mm512_storeu_ps(out[i] + 16, acc[i][1]);
  }
}

// Scores 0 .. n - 1 to weights; from `keep` to `end` are seen, the others become zero. Returns what makes their sum one.
float Softmax(float* scores, int64_t n, int64_t keep, int64_t end) {
  constexpr float kUnseen = -std::numeric_limits<float>::infinity();
  std::fill(scores, scores + keep, kUnseen);
  std::fill(scores + end, scores + n, kUnseen);
  float largest[kLanes];
  std::fill(largest, largest + kLanes, kUnseen);
  for (int64_t s = 0; s < n; s += kLanes)
    for (int64_t j = 0; j < kLanes; j++) largest[j] = scores[s + j] > largest[j] ? scores[s + j] : largest[j];
  float most = largest[0];
  for (int64_t j = 1; j < kLanes; j++) most = std::max(most, largest[j]);
  float sums[kLanes] = {};
  for (int64_t s = 0; s < n; s += kLanes)
    for (int64_t j = 0; j < kLanes; j++) {
      scores[s + j] = Exp(scores[s + j] - most);
      sums[j] += scores[s + j];
    }
  float total = 0;
  for (int64_t j = 0; j < kLanes; j++) total += sums[j];
  return 1.0f / total;
}

// n rows of `dim` numbers, times `scale`.
void Copy(const float* __restrict__ from, int64_t from_stride, int64_t n, int64_t dim, float scale,
          float* __restrict__ to, int64_t to_stride) {
  for (int64_t s = 0; s < n; s++, from += from_stride, to += to_stride)
    for (int64_t d = 0; d < dim; d++) to[d] = scale * from[d];
}

// to[d][s] = from[s][d]; behind the last row stands it again, as far as a vector reaches.
void Transpose(const float* __restrict__ from, int64_t from_stride, int64_t n, int64_t dim, float* __restrict__ to,
               int64_t to_stride) {
  for (int64_t s = 0; s < n; s += kLanes) {
    const float* rows[kLanes];
    for (int64_t j = 0; j < kLanes; j++) rows[j] = from + std::min(s + j, n - 1) * from_stride;
    for (int64_t d = 0; d < dim; d++)
#pragma GCC unroll 16
      for (int64_t j = 0; j < kLanes; j++) to[d * to_stride + s + j] = rows[j][d];
  }
}

struct Heads {
  const float *queries, *keys, *values;
  float* out;
  int64_t num_heads, num_kv_heads, dim, behind, ahead;
  float scale;
};

void AttendRun(const Heads& h, const Run& run, int64_t head, Scratch& scratch) {
  const int64_t n = run.length, dim = h.dim, width = RoundUp(dim, 2 * kLanes), padded = RoundUp(n, kLanes);
  const int64_t query_row = h.num_heads * dim, key_row = h.num_kv_heads * dim;
  const int64_t kv_offset = run.first * key_row + head / (h.num_heads / h.num_kv_heads) * dim;
  const int64_t offset = run.first * query_row + head * dim;
  scratch.queries.resize(RoundUp(n, kQueries) * dim);
  scratch.keys.resize(dim * padded);
  scratch.values.resize(n * width);
  scratch.scores.resize(kQueries * padded);
  Copy(h.queries + offset, query_row, n, dim, h.scale, scratch.queries.data(), dim);
  std::fill(scratch.queries.begin() + n * dim, scratch.queries.end(), 0.0f);
  if (width > dim) std::fill(scratch.values.begin(), scratch.values.end(), 0.0f);
  Copy(h.values + kv_offset, key_row, n, dim, 1.0f, scratch.values.data(), width);
  Transpose(h.keys + kv_offset, key_row, n, dim, scratch.keys.data(), padded);
  float mixed[kQueries][2 * kLanes], scales[kQueries];
  for (int64_t first = 0; first < n; first += kQueries) {
    const int64_t last = std::min(n, first + kQueries) - 1;
    // Keys that some of these queries see, from a whole vector on.
    const int64_t low = h.behind < 0 ? 0 : std::max<int64_t>(0, first - h.behind) / kLanes * kLanes;
    const int64_t high = h.ahead < 0 ? n : std::min(n, last + h.ahead + 1);
    const int64_t count = RoundUp(high - low, kLanes);
    const float* queries = scratch.queries.data() + first * dim;
    for (int64_t s = 0; s < count; s += kKeys) {
      const float* keys = scratch.keys.data() + low + s;
      float* scores = scratch.scores.data() + s;
      switch (std::min(kKeys, count - s) / kLanes) {
        case 4: Scores<4>(queries, dim, keys, padded, scores, count); break;
        case 3: Scores<3>(queries, dim, keys, padded, scores, count); break;
        case 2: Scores<2>(queries, dim, keys, padded, scores, count); break;
        default: Scores<1>(queries, dim, keys, padded, scores, count);
      }
    }
    for (int64_t i = 0; i < kQueries; i++) {
      const int64_t at = std::min(first + i, last);
      const int64_t keep = h.behind < 0 ? 0 : std::max<int64_t>(0, at - h.behind) - low;
      const int64_t end = (h.ahead < 0 ? n : std::min(n, at + h.ahead + 1)) - low;
      scales[i] = Softmax(scratch.scores.data() + i * count, count, keep, end);
    }
    for (int64_t d = 0; d < dim; d += 2 * kLanes) {
      Mix(scratch.scores.data(), count, high - low, scratch.values.data() + low * width + d, width, mixed);
      for (int64_t i = 0; first + i <= last; i++)
        for (int64_t j = 0; j < std::min(2 * kLanes, dim - d); j++)
          h.out[offset + (first + i) * query_row + d + j] = scales[i] * mixed[i][j];
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
