//! Functions of `hsa_ext_image.h`.

use std::ffi::c_void;

use super::functions;
use crate::raw::*;

functions! {
    /// Functions of `hsa_ext_image.h`, under their names.
    Image
    /// Retrieve the supported image capabilities for a given combination of agent, geometry, and image format for
    /// an image created with an opaque image data layout.
    fn hsa_ext_image_get_capability(agent: hsa_agent_t, geometry: hsa_ext_image_geometry_t, image_format: *const hsa_ext_image_format_t, capability_mask: *mut u32) -> hsa_status_t;
    /// Retrieve the supported image capabilities for a given combination of agent, geometry, image format, and
    /// image layout for an image created with an explicit image data layout.
    fn hsa_ext_image_get_capability_with_layout(agent: hsa_agent_t, geometry: hsa_ext_image_geometry_t, image_format: *const hsa_ext_image_format_t, image_data_layout: hsa_ext_image_data_layout_t, capability_mask: *mut u32) -> hsa_status_t;
    /// Retrieve the image data requirements for a given combination of agent, image descriptor, and access
    /// permission for an image created with an opaque image data layout.
    fn hsa_ext_image_data_get_info(agent: hsa_agent_t, image_descriptor: *const hsa_ext_image_descriptor_t, access_permission: hsa_access_permission_t, image_data_info: *mut hsa_ext_image_data_info_t) -> hsa_status_t;
    /// Retrieve the image data requirements for a given combination of image descriptor, access permission, image
    /// data layout, image data row pitch, and image data slice pitch for an image created with an explicit image
    /// data layout.
    fn hsa_ext_image_data_get_info_with_layout(agent: hsa_agent_t, image_descriptor: *const hsa_ext_image_descriptor_t, access_permission: hsa_access_permission_t, image_data_layout: hsa_ext_image_data_layout_t, image_data_row_pitch: usize, image_data_slice_pitch: usize, image_data_info: *mut hsa_ext_image_data_info_t) -> hsa_status_t;
    /// Creates an agent specific image handle to an image with an opaque image data layout.
    fn hsa_ext_image_create(agent: hsa_agent_t, image_descriptor: *const hsa_ext_image_descriptor_t, image_data: *const c_void, access_permission: hsa_access_permission_t, image: *mut hsa_ext_image_t) -> hsa_status_t;
    /// Creates an agent specific image handle to an image with an explicit image data layout.
    fn hsa_ext_image_create_with_layout(agent: hsa_agent_t, image_descriptor: *const hsa_ext_image_descriptor_t, image_data: *const c_void, access_permission: hsa_access_permission_t, image_data_layout: hsa_ext_image_data_layout_t, image_data_row_pitch: usize, image_data_slice_pitch: usize, image: *mut hsa_ext_image_t) -> hsa_status_t;
    /// Destroy an image handle previously created using `hsa_ext_image_create` or
    /// `hsa_ext_image_create_with_layout`.
    fn hsa_ext_image_destroy(agent: hsa_agent_t, image: hsa_ext_image_t) -> hsa_status_t;
    /// Copies a portion of one image (the source) to another image (the destination).
    fn hsa_ext_image_copy(agent: hsa_agent_t, src_image: hsa_ext_image_t, src_offset: *const hsa_dim3_t, dst_image: hsa_ext_image_t, dst_offset: *const hsa_dim3_t, range: *const hsa_dim3_t) -> hsa_status_t;
    /// Import a linearly organized image data from memory directly to an image handle.
    fn hsa_ext_image_import(agent: hsa_agent_t, src_memory: *const c_void, src_row_pitch: usize, src_slice_pitch: usize, dst_image: hsa_ext_image_t, image_region: *const hsa_ext_image_region_t) -> hsa_status_t;
    /// Export the image data to linearly organized memory.
    fn hsa_ext_image_export(agent: hsa_agent_t, src_image: hsa_ext_image_t, dst_memory: *mut c_void, dst_row_pitch: usize, dst_slice_pitch: usize, image_region: *const hsa_ext_image_region_t) -> hsa_status_t;
    /// Clear a region of an image so that every image element has the specified value.
    fn hsa_ext_image_clear(agent: hsa_agent_t, image: hsa_ext_image_t, data: *const c_void, image_region: *const hsa_ext_image_region_t) -> hsa_status_t;
    /// Create an agent specific sampler handle for a given agent independent sampler descriptor and agent.
    fn hsa_ext_sampler_create(agent: hsa_agent_t, sampler_descriptor: *const hsa_ext_sampler_descriptor_t, sampler: *mut hsa_ext_sampler_t) -> hsa_status_t;
    /// Create an agent specific sampler handle for a given agent independent sampler descriptor v2 and agent.
    fn hsa_ext_sampler_create_v2(agent: hsa_agent_t, sampler_descriptor: *const hsa_ext_sampler_descriptor_v2_t, sampler: *mut hsa_ext_sampler_t) -> hsa_status_t, since 7;
    /// Destroy a sampler handle previously created using `hsa_ext_sampler_create` or `hsa_ext_sampler_create_v2`.
    fn hsa_ext_sampler_destroy(agent: hsa_agent_t, sampler: hsa_ext_sampler_t) -> hsa_status_t;
    /// Creates an image from an opaque vendor specific image format.
    fn hsa_amd_image_create(agent: hsa_agent_t, image_descriptor: *const hsa_ext_image_descriptor_t, image_layout: *const hsa_amd_image_descriptor_t, image_data: *const c_void, access_permission: hsa_access_permission_t, image: *mut hsa_ext_image_t) -> hsa_status_t;
    /// Query image limits.
    fn hsa_amd_image_get_info_max_dim(agent: hsa_agent_t, attribute: hsa_agent_info_t, value: *mut c_void) -> hsa_status_t;
}
