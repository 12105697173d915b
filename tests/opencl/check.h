// What every OpenCL program here shares: errors end it with a line that says where, results are counted against the CPU's.
#pragma once
#define CL_TARGET_OPENCL_VERSION 200
#include <CL/cl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(condition)                                                                                        \
    do {                                                                                                         \
        if (!(condition)) {                                                                                      \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                       \
            exit(1);                                                                                             \
        }                                                                                                        \
    } while (0)

#define CL(call)                                                                                                 \
    do {                                                                                                         \
        cl_int error = (call);                                                                                   \
        if (error != CL_SUCCESS) {                                                                               \
            printf("%s:%d: %s: error %d\n", __FILE__, __LINE__, #call, error);                                   \
            exit(1);                                                                                             \
        }                                                                                                        \
    } while (0)

static cl_device_id device;
static cl_context context;
static cl_command_queue queue;

static inline void begin(void) {
    cl_platform_id platform;
    cl_int error;
    CL(clGetPlatformIDs(1, &platform, NULL));
    CL(clGetDeviceIDs(platform, CL_DEVICE_TYPE_GPU, 1, &device, NULL));
    context = clCreateContext(NULL, 1, &device, NULL, NULL, &error);
    CL(error);
    cl_queue_properties properties[] = {CL_QUEUE_PROPERTIES, CL_QUEUE_PROFILING_ENABLE, 0};
    queue = clCreateCommandQueueWithProperties(context, device, properties, &error);
    CL(error);
}

// Builds a program from source, in this process, as OpenCL does, and returns its kernel.
static inline cl_kernel kernel_of(const char *source, const char *name) {
    cl_int error;
    cl_program program = clCreateProgramWithSource(context, 1, &source, NULL, &error);
    CL(error);
    error = clBuildProgram(program, 1, &device, "-cl-std=CL2.0", NULL, NULL);
    if (error != CL_SUCCESS) {
        static char log[10000];
        clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, sizeof log, log, NULL);
        printf("%s\n", log);
    }
    CL(error);
    cl_kernel kernel = clCreateKernel(program, name, &error);
    CL(error);
    return kernel;
}

static inline cl_mem buffer_of(cl_mem_flags flags, size_t bytes, void *from) {
    cl_int error;
    cl_mem buffer = clCreateBuffer(context, flags | (from ? CL_MEM_COPY_HOST_PTR : 0), bytes, from, &error);
    CL(error);
    return buffer;
}

// A sequence of numbers that is the same everywhere.
static inline unsigned scramble(unsigned x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

static inline int done(const char *what) {
    printf("ok: %s\n", what);
    return 0;
}
