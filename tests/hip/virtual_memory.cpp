// Addresses and memory by themselves: one piece of memory behind two addresses, two pieces behind one range, access given and taken away, and the
// same memory in another process. HIP 5 has no names for this, so the library's own functions are found by theirs; HIP 6 is asked as well.
#include "check.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <hsa/hsa.h>
#include <hsa/hsa_ext_amd.h>
#include <sys/wait.h>
#include <unistd.h>

struct Memory { uint64_t handle; };
struct May { hsa_access_permission_t what; hsa_agent_t who; };
const hsa_access_permission_t NOTHING = (hsa_access_permission_t)0;
const size_t PAGE = 4096, MIB = 1 << 20;
const int n = MIB / sizeof(int);

template <typename... A> static hsa_status_t call(const char *name, A... arguments) {
    auto found = (hsa_status_t (*)(A...))dlsym(RTLD_DEFAULT, name);
    EXPECT(found != nullptr);
    return found(arguments...);
}
#define HSA(name, ...) EXPECT(call("hsa_" name, __VA_ARGS__) == HSA_STATUS_SUCCESS)
#define REFUSED(status, name, ...) EXPECT(call("hsa_" name, __VA_ARGS__) == (status))

__global__ void add(int *v, int n, int by) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) v[i] += by;
}

static void add_on_device(void *v, int n, int by) {
    add<<<(n + 255) / 256, 256>>>((int *)v, n, by);
    HIP(hipDeviceSynchronize());
}

static hsa_agent_t gpu, cpu;
static hsa_amd_memory_pool_t pool;

static hsa_status_t each_pool(hsa_amd_memory_pool_t one, void *) {
    pool = one;
    return HSA_STATUS_INFO_BREAK;
}

static hsa_status_t each_agent(hsa_agent_t agent, void *) {
    hsa_device_type_t type;
    HSA("agent_get_info", agent, HSA_AGENT_INFO_DEVICE, (void *)&type);
    // Of several devices the first: HIP's kernels run there.
    hsa_agent_t &found = type == HSA_DEVICE_TYPE_GPU ? gpu : cpu;
    if (found.handle == 0) found = agent;
    return HSA_STATUS_SUCCESS;
}

static void *reserve(size_t bytes) {
    void *at;
    HSA("amd_vmem_address_reserve", &at, bytes, (uint64_t)0, (uint64_t)0);
    return at;
}

static Memory create(size_t bytes) {
    Memory memory;
    HSA("amd_vmem_handle_create", pool, bytes, 0, (uint64_t)0, &memory);
    return memory;
}

static void map(void *at, size_t bytes, size_t offset, Memory memory) {
    HSA("amd_vmem_map", at, bytes, offset, memory, (uint64_t)0);
}

static hsa_status_t allow(void *at, size_t bytes, hsa_access_permission_t host, hsa_access_permission_t device) {
    May list[2] = {{host, cpu}, {device, gpu}};
    return call("hsa_amd_vmem_set_access", at, bytes, (const May *)list, (size_t)2);
}

// What the broker says: HIP 5 counts what HIP itself has allocated.
static size_t available() {
    uint64_t left;
    HSA("agent_get_info", gpu, (hsa_agent_info_t)0xA015, (void *)&left);
    return left;
}

// The child's session is reclaimed a little after its process.
static bool comes_to(size_t wanted) {
    for (int tries = 0; tries < 20000; tries++) {
        if (available() == wanted) return true;
        usleep(1000);
    }
    return false;
}

static int child() {
    Memory memory;
    HSA("amd_vmem_import_shareable_handle", 0, &memory);
    REFUSED(HSA_STATUS_ERROR_INVALID_ALLOCATION, "amd_vmem_export_shareable_handle", (int *)&n, memory, (uint64_t)0);
    void *at = reserve(MIB);
    map(at, MIB, 0, memory);
    EXPECT(allow(at, MIB, HSA_ACCESS_PERMISSION_RO, HSA_ACCESS_PERMISSION_RW) == HSA_STATUS_SUCCESS);
    for (int i = 0; i < n; i++) EXPECT(((int *)at)[i] == i + 5);
    add_on_device(at, n, 1000);
    return 0;
}

// HIP's own names for it all, where it has them.
static void as_hip_has_it() {
#if HIP_VERSION >= 60000000
    hipMemAllocationProp kind = {};
    kind.type = hipMemAllocationTypePinned;
    kind.location.type = hipMemLocationTypeDevice;
    size_t step;
    HIP(hipMemGetAllocationGranularity(&step, &kind, hipMemAllocationGranularityMinimum));
    size_t bytes = (MIB + step - 1) / step * step;
    hipMemGenericAllocationHandle_t memory;
    hipDeviceptr_t at;
    HIP(hipMemCreate(&memory, bytes, &kind, 0));
    HIP(hipMemAddressReserve((void **)&at, bytes, 0, nullptr, 0));
    HIP(hipMemMap(at, bytes, 0, memory, 0));
    hipMemAccessDesc may = {};
    may.location = kind.location;
    may.flags = hipMemAccessFlagsProtReadWrite;
    HIP(hipMemSetAccess(at, bytes, &may, 1));
    std::vector<int> v(n, 7);
    HIP(hipMemcpy(at, v.data(), n * sizeof(int), hipMemcpyHostToDevice));
    add_on_device(at, n, 35);
    HIP(hipMemcpy(v.data(), at, n * sizeof(int), hipMemcpyDeviceToHost));
    for (int i = 0; i < n; i++) EXPECT(v[i] == 42);
    HIP(hipMemUnmap(at, bytes));
    HIP(hipMemRelease(memory));
    HIP(hipMemAddressFree(at, bytes));
#endif
}

int main(int count, char **arguments) {
    HIP(hipSetDevice(0));
    HIP(hipFree(nullptr));
    HSA("iterate_agents", each_agent, (void *)nullptr);
    REFUSED(HSA_STATUS_INFO_BREAK, "amd_agent_iterate_memory_pools", gpu, each_pool, (void *)nullptr);
    if (count > 1) return child();
    bool is_there;
    HSA("system_get_info", (hsa_system_info_t)0x205, (void *)&is_there);
    EXPECT(is_there);
    // What HIP allocates for its first kernel is not what is counted here.
    int *any;
    HIP(hipMalloc(&any, n * sizeof(int)));
    add_on_device(any, n, 1);
    HIP(hipMemcpy(any, any, 4, hipMemcpyDeviceToDevice));
    size_t before = available();

    // One piece of memory behind two ranges: what a kernel stores through one, the host and another kernel see through the other.
    char *first = (char *)reserve(4 * MIB), *second = (char *)reserve(MIB);
    Memory memory = create(MIB);
    EXPECT(before - available() == MIB);
    map(first + MIB, MIB, 0, memory);
    map(second, MIB, 0, memory);
    EXPECT(before - available() == MIB);
    hsa_access_permission_t may;
    HSA("amd_vmem_get_access", (void *)second, &may, gpu);
    EXPECT(may == NOTHING);
    const auto RW = HSA_ACCESS_PERMISSION_RW, RO = HSA_ACCESS_PERMISSION_RO;
    std::vector<int> v(n);
    REFUSED(HSA_STATUS_ERROR_INVALID_ARGUMENT, "memory_copy", (void *)v.data(), (void *)second, MIB);
    EXPECT(allow(first + MIB, MIB, NOTHING, RW) == HSA_STATUS_SUCCESS);
    EXPECT(allow(second, MIB, RW, RO) == HSA_STATUS_SUCCESS);
    EXPECT(allow(second, MIB, RO, RO) == HSA_STATUS_SUCCESS);
    REFUSED(HSA_STATUS_ERROR_INVALID_ARGUMENT, "memory_copy", (void *)second, (void *)v.data(), MIB);
    EXPECT(allow(second, MIB, RW, RO) == HSA_STATUS_SUCCESS);
    HSA("amd_vmem_get_access", (void *)(second + 17), &may, gpu);
    EXPECT(may == RO);
    for (int i = 0; i < n; i++) ((int *)second)[i] = i;
    add_on_device(first + MIB, n, 5);
    for (int i = 0; i < n; i++) EXPECT(((int *)second)[i] == i + 5);
    Memory again;
    HSA("amd_vmem_retain_alloc_handle", &again, (void *)(second + PAGE));
    EXPECT(again.handle == memory.handle);
    hsa_amd_memory_pool_t of;
    int type;
    HSA("amd_vmem_get_alloc_properties_from_handle", memory, &of, &type);
    EXPECT(of.handle == pool.handle && type == 0);

    // Another process of the tenant, by a descriptor that says nothing to anybody else.
    int shareable;
    HSA("amd_vmem_export_shareable_handle", &shareable, memory, (uint64_t)0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(shareable, 0);
        execl("/proc/self/exe", arguments[0], "child", (char *)nullptr);
        _exit(127);
    }
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (int i = 0; i < n; i++) EXPECT(((int *)second)[i] == i + 1005);

    // Two pieces, the second in part, behind one range that a kernel walks in one go.
    Memory other = create(2 * MIB);
    map(first + 2 * MIB, MIB, MIB, other);
    EXPECT(allow(first + MIB, 2 * MIB, RW, RW) == HSA_STATUS_SUCCESS);
    memset(first + 2 * MIB, 0, MIB);
    add_on_device(first + MIB, 2 * n, 1);
    for (int i = 0; i < n; i++) EXPECT(((int *)(first + MIB))[i] == i + 1006 && ((int *)(first + 2 * MIB))[i] == 1);

    // What is wrong is refused, and changes nothing.
    const auto ALLOCATION = HSA_STATUS_ERROR_INVALID_ALLOCATION, ARGUMENT = HSA_STATUS_ERROR_INVALID_ARGUMENT;
    void *at = nullptr;
    REFUSED(ARGUMENT, "amd_vmem_address_reserve", &at, (size_t)100, (uint64_t)0, (uint64_t)0);
    REFUSED(ARGUMENT, "amd_vmem_handle_create", pool, PAGE + 1, 0, (uint64_t)0, &again);
    REFUSED(ALLOCATION, "amd_vmem_map", (void *)second, MIB, (size_t)0, other, (uint64_t)0);
    REFUSED(ALLOCATION, "amd_vmem_map", (void *)(first + 3 * MIB), 2 * MIB, (size_t)0, other, (uint64_t)0);
    REFUSED(ARGUMENT, "amd_vmem_map", (void *)first, MIB, 2 * MIB, other, (uint64_t)0);
    alignas(4096) static char own[PAGE];
    REFUSED(ALLOCATION, "amd_vmem_map", (void *)own, PAGE, (size_t)0, other, (uint64_t)0);
    REFUSED(ALLOCATION, "amd_vmem_unmap", (void *)second, PAGE);
    REFUSED(HSA_STATUS_ERROR_RESOURCE_FREE, "amd_vmem_address_free", (void *)second, MIB);
    REFUSED(ALLOCATION, "amd_vmem_address_free", (void *)first, MIB);
    EXPECT(allow(first, 2 * MIB, RW, RW) == ALLOCATION);
    EXPECT(allow(second, PAGE, RW, RW) == ALLOCATION);
    int nothing = open("/dev/null", O_RDONLY);
    REFUSED(ARGUMENT, "amd_vmem_import_shareable_handle", nothing, &again);
    EXPECT(call("hsa_amd_vmem_handle_create", pool, (size_t)1 << 40, 0, (uint64_t)0, &again) != HSA_STATUS_SUCCESS);

    // Memory is there until its last handle and its last mapping are gone.
    HSA("amd_vmem_handle_release", memory);
    HSA("amd_vmem_handle_release", memory);
    REFUSED(ALLOCATION, "amd_vmem_handle_release", memory);
    HSA("amd_vmem_unmap", (void *)second, MIB);
    EXPECT(comes_to(before - 3 * MIB));
    HSA("amd_vmem_unmap", (void *)(first + MIB), MIB);
    EXPECT(comes_to(before - 2 * MIB));
    HSA("amd_vmem_unmap", (void *)(first + 2 * MIB), MIB);
    HSA("amd_vmem_handle_release", other);
    EXPECT(comes_to(before));
    HSA("amd_vmem_address_free", (void *)first, 4 * MIB);
    HSA("amd_vmem_address_free", (void *)second, MIB);
    // Its name outlives it, and is of no use to anybody.
    EXPECT(call("hsa_amd_vmem_import_shareable_handle", shareable, &again) != HSA_STATUS_SUCCESS);
    as_hip_has_it();
    return done("virtual_memory");
}
