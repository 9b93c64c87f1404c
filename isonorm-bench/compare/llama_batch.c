/*
 * How fast llama.cpp writes several sequences in one batch: llama_batch MODEL.gguf PROMPT TOKENS THREADS ROUNDS SEQUENCES...
 *
 * So many sequences at once, each with a prompt of its own and greedy tokens behind it, through llama.cpp's C interface (0.5.0: libllama and ggml,
 * whose folder LIBS names; one with libggml-cpu-haswell.so alone plays AVX2). Prints tokens generated a second, the prompts' time included, as load_server.py counts them, and without,
 * and how long a step takes that reads no prompt. Each count runs once shortly before it is timed.
 *
 *   cc -O2 llama_batch.c -o llama_batch -L$LIBS -l:libllama.v0.5.0.so -l:libggml.v0.5.0.so -l:libggml-base.so -Wl,-rpath,$LIBS
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Larger than the library's own, which lie at their beginning. */
struct model_params { char bytes[2048]; };
struct context_params { char bytes[2048]; };
typedef struct { int32_t n_tokens; int32_t *token; float *embd; int32_t *pos; int32_t *n_seq_id; int32_t **seq_id; int8_t *logits; } batch;

void llama_backend_init(void);
void ggml_backend_load_all_from_path(const char *);
struct model_params llama_model_default_params(void);
struct context_params llama_context_default_params(void);
void *llama_model_load_from_file(const char *, struct model_params);
void *llama_init_from_model(void *, struct context_params);
void llama_set_n_threads(void *, int32_t, int32_t);
void llama_free(void *);
batch llama_batch_init(int32_t, int32_t, int32_t);
int32_t llama_decode(void *, batch);
void llama_synchronize(void *);
float *llama_get_logits_ith(void *, int32_t);
void *llama_get_memory(void *);
void llama_memory_clear(void *, _Bool);
const void *llama_model_get_vocab(void *);
int32_t llama_vocab_n_tokens(const void *);
uint32_t llama_n_seq_max(void *);
void llama_log_set(void (*)(int, const char *, void *), void *);

enum { MOST = 64, BATCH = 2048, VOCABULARY = 1000, STEPS = 4096 };

static void quiet(int level, const char *text, void *data) { (void)level, (void)text, (void)data; }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static int likeliest(const float *logits, int n) {
    int best = 0;
    for (int i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void add(batch *b, int token, int position, int sequence, int wanted) {
    int i = b->n_tokens++;
    b->token[i] = token, b->pos[i] = position, b->n_seq_id[i] = 1, b->seq_id[i][0] = sequence, b->logits[i] = wanted;
}

static void decode(void *context, batch b) {
    if (llama_decode(context, b)) {
        puts("llama_decode failed");
        exit(1);
    }
    llama_synchronize(context);
}

int main(int count, char **words) {
    if (count < 7) {
        puts("llama_batch MODEL.gguf PROMPT TOKENS THREADS ROUNDS SEQUENCES...");
        return 2;
    }
    int prompt = atoi(words[2]), tokens = atoi(words[3]), threads = atoi(words[4]), rounds = atoi(words[5]);
    llama_log_set(quiet, 0);
    ggml_backend_load_all_from_path(getenv("LIBS"));
    llama_backend_init();
    if (tokens < 2 || tokens > STEPS) {
        printf("2 to %d tokens\n", STEPS);
        return 2;
    }
    void *model = llama_model_load_from_file(words[1], llama_model_default_params());
    if (!model) {
        puts("the model cannot be loaded");
        return 1;
    }
    int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
    batch b = llama_batch_init(BATCH, 0, 1);
    for (int round = 0; round < rounds; round++) {
        for (int word = 6; word < count; word++) {
            int sequences = atoi(words[word]);
            struct context_params params = llama_context_default_params();
            int32_t *field = (int32_t *)params.bytes; /* n_ctx, n_batch, n_ubatch, n_seq_max */
            if (sequences < 1 || sequences > MOST || field[0] != 512 || field[1] != BATCH || field[2] != 512 || field[3] != 1) {
                puts("1 to 64 sequences, and llama.cpp's parameters must lie as in 0.5.0");
                return 1;
            }
            field[0] = sequences * 256 * ((prompt + tokens + 255) / 256), field[3] = sequences;
            void *context = llama_init_from_model(model, params);
            if (!context || (int)llama_n_seq_max(context) != sequences) {
                puts("there is no such context");
                return 1;
            }
            llama_set_n_threads(context, threads, threads);
            int last[MOST], row[MOST];
            double begin = 0, read = 0, end = 0, step[STEPS];
            for (int timed = 0; timed < 2; timed++) {
                llama_memory_clear(llama_get_memory(context), 0);
                srand(1 + round);
                begin = now();
                for (int s = 0; s < sequences;) {
                    int first = s;
                    for (b.n_tokens = 0; s < sequences && b.n_tokens + prompt <= BATCH; s++)
                        for (int k = 0; k < prompt; k++) {
                            row[s] = b.n_tokens;
                            add(&b, rand() % VOCABULARY, k, s, k == prompt - 1);
                        }
                    decode(context, b);
                    for (int each = first; each < s; each++) last[each] = likeliest(llama_get_logits_ith(context, row[each]), vocabulary);
                }
                read = now();
                for (int k = 1; k < (timed ? tokens : 4); k++) {
                    double from = now();
                    b.n_tokens = 0;
                    for (int s = 0; s < sequences; s++) add(&b, last[s], prompt + k - 1, s, 1);
                    decode(context, b);
                    for (int s = 0; s < sequences; s++) last[s] = likeliest(llama_get_logits_ith(context, s), vocabulary);
                    step[k - 1] = now() - from;
                }
                end = now();
            }
            qsort(step, tokens - 1, sizeof *step, ascending);
            printf("%d at once %.1f tokens/s, without the prompts %.1f, a step %.1f ms in the median, %.1f at the 99th percentile\n", sequences,
                   sequences * tokens / (end - begin), sequences * (tokens - 1) / (end - read), 1e3 * step[(tokens - 1) / 2], 1e3 * step[(tokens - 1) * 99 / 100]);
            fflush(stdout);
            llama_free(context);
        }
    }
    return 0;
}
