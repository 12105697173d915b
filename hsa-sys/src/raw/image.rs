//! The image extension.

use std::ffi::c_void;

use super::status::hsa_status_t;
use super::system::{hsa_access_permission_t, hsa_agent_t, hsa_dim3_t};
use crate::declare::{constants, handles, records};

/// A fixed-size type used to represent `hsa_ext_image_channel_type_t` constants.
pub type hsa_ext_image_channel_type32_t = u32;
/// A fixed-size type used to represent `hsa_ext_image_channel_order_t` constants.
pub type hsa_ext_image_channel_order32_t = u32;
/// A fixed-size type used to represent `hsa_ext_sampler_addressing_mode_t` constants.
pub type hsa_ext_sampler_addressing_mode32_t = u32;
/// A fixed-size type used to represent `hsa_ext_sampler_coordinate_mode_t` constants.
pub type hsa_ext_sampler_coordinate_mode32_t = u32;
/// A fixed-size type used to represent `hsa_ext_sampler_filter_mode_t` constants.
pub type hsa_ext_sampler_filter_mode32_t = u32;

handles! {
    /// Image handle, populated by `hsa_ext_image_create` or `hsa_ext_image_create_with_layout`.
    hsa_ext_image_t;
    /// Sampler handle.
    hsa_ext_sampler_t;
}

records! {
    /// Image format.
    hsa_ext_image_format_t {
        /// Channel type.
        channel_type: hsa_ext_image_channel_type32_t;
        /// Channel order.
        channel_order: hsa_ext_image_channel_order32_t;
    }
    /// Implementation independent image descriptor.
    hsa_ext_image_descriptor_t {
        /// Image geometry.
        geometry: hsa_ext_image_geometry_t;
        /// Width of the image, in components.
        width: usize;
        /// Height of the image, in components.
        height: usize;
        /// Depth of the image, in components.
        depth: usize;
        /// Number of image layers in the image array.
        array_size: usize;
        /// Image format.
        format: hsa_ext_image_format_t;
    }
    /// Agent specific image size and alignment requirements, populated by `hsa_ext_image_data_get_info` and
    /// `hsa_ext_image_data_get_info_with_layout`.
    hsa_ext_image_data_info_t {
        /// Image data size, in bytes.
        size: usize;
        /// Image data alignment, in bytes.
        alignment: usize;
    }
    /// Image region.
    hsa_ext_image_region_t {
        /// Offset within an image (in coordinates).
        offset: hsa_dim3_t;
        /// Dimension size of the image range (in coordinates).
        range: hsa_dim3_t;
    }
    /// Implementation independent sampler descriptor.
    hsa_ext_sampler_descriptor_t {
        /// Sampler coordinate mode describes the normalization of image coordinates.
        coordinate_mode: hsa_ext_sampler_coordinate_mode32_t;
        /// Sampler filter type describes the type of sampling performed.
        filter_mode: hsa_ext_sampler_filter_mode32_t;
        /// Sampler address mode describes the processing of out-of-range image coordinates.
        address_mode: hsa_ext_sampler_addressing_mode32_t;
    }
    /// Implementation independent sampler descriptor v2 which supports different address modes in X, Y and Z
    /// axises.
    hsa_ext_sampler_descriptor_v2_t, since 7 {
        /// Sampler coordinate mode describes the normalization of image coordinates.
        coordinate_mode: hsa_ext_sampler_coordinate_mode32_t;
        /// Sampler filter type describes the type of sampling performed.
        filter_mode: hsa_ext_sampler_filter_mode32_t;
        /// In X, Y and Z axises.
        address_modes: [hsa_ext_sampler_addressing_mode32_t; 3];
    }
    /// The function pointer table for the images v1.00 extension.
    hsa_ext_images_1_00_pfn_t {
        hsa_ext_image_get_capability: Option<unsafe extern "C" fn(hsa_agent_t, hsa_ext_image_geometry_t, *const hsa_ext_image_format_t, *mut u32) -> hsa_status_t>;
        hsa_ext_image_data_get_info: Option<unsafe extern "C" fn(hsa_agent_t, *const hsa_ext_image_descriptor_t, hsa_access_permission_t, *mut hsa_ext_image_data_info_t) -> hsa_status_t>;
        hsa_ext_image_create: Option<unsafe extern "C" fn(hsa_agent_t, *const hsa_ext_image_descriptor_t, *const c_void, hsa_access_permission_t, *mut hsa_ext_image_t) -> hsa_status_t>;
        hsa_ext_image_destroy: Option<unsafe extern "C" fn(hsa_agent_t, hsa_ext_image_t) -> hsa_status_t>;
        hsa_ext_image_copy: Option<unsafe extern "C" fn(hsa_agent_t, hsa_ext_image_t, *const hsa_dim3_t, hsa_ext_image_t, *const hsa_dim3_t, *const hsa_dim3_t) -> hsa_status_t>;
        hsa_ext_image_import: Option<unsafe extern "C" fn(hsa_agent_t, *const c_void, usize, usize, hsa_ext_image_t, *const hsa_ext_image_region_t) -> hsa_status_t>;
        hsa_ext_image_export: Option<unsafe extern "C" fn(hsa_agent_t, hsa_ext_image_t, *mut c_void, usize, usize, *const hsa_ext_image_region_t) -> hsa_status_t>;
        hsa_ext_image_clear: Option<unsafe extern "C" fn(hsa_agent_t, hsa_ext_image_t, *const c_void, *const hsa_ext_image_region_t) -> hsa_status_t>;
        hsa_ext_sampler_create: Option<unsafe extern "C" fn(hsa_agent_t, *const hsa_ext_sampler_descriptor_t, *mut hsa_ext_sampler_t) -> hsa_status_t>;
        hsa_ext_sampler_destroy: Option<unsafe extern "C" fn(hsa_agent_t, hsa_ext_sampler_t) -> hsa_status_t>;
    }
    /// The function pointer table for the images v1 extension.
    hsa_ext_images_1_pfn_t {
        hsa_ext_image_get_capability: Option<unsafe extern "C" fn(hsa_agent_t, hsa_ext_image_geometry_t, *const hsa_ext_image_format_t, *mut u32) -> hsa_status_t>;
        hsa_ext_image_data_get_info: Option<unsafe extern "C" fn(hsa_agent_t, *const hsa_ext_image_descriptor_t, hsa_access_permission_t, *mut hsa_ext_image_data_info_t) -> hsa_status_t>;
        hsa_ext_image_create: Option<unsafe extern "C" fn(hsa_agent_t, *const hsa_ext_image_descriptor_t, *const c_void, hsa_access_permission_t, *mut hsa_ext_image_t) -> hsa_status_t>;
        hsa_ext_image_destroy: Option<unsafe extern "C" fn(hsa_agent_t, hsa_ext_image_t) -> hsa_status_t>;
        hsa_ext_image_copy: Option<unsafe extern "C" fn(hsa_agent_t, hsa_ext_image_t, *const hsa_dim3_t, hsa_ext_image_t, *const hsa_dim3_t, *const hsa_dim3_t) -> hsa_status_t>;
        hsa_ext_image_import: Option<unsafe extern "C" fn(hsa_agent_t, *const c_void, usize, usize, hsa_ext_image_t, *const hsa_ext_image_region_t) -> hsa_status_t>;
        hsa_ext_image_export: Option<unsafe extern "C" fn(hsa_agent_t, hsa_ext_image_t, *mut c_void, usize, usize, *const hsa_ext_image_region_t) -> hsa_status_t>;
        hsa_ext_image_clear: Option<unsafe extern "C" fn(hsa_agent_t, hsa_ext_image_t, *const c_void, *const hsa_ext_image_region_t) -> hsa_status_t>;
        hsa_ext_sampler_create: Option<unsafe extern "C" fn(hsa_agent_t, *const hsa_ext_sampler_descriptor_t, *mut hsa_ext_sampler_t) -> hsa_status_t>;
        hsa_ext_sampler_destroy: Option<unsafe extern "C" fn(hsa_agent_t, hsa_ext_sampler_t) -> hsa_status_t>;
        hsa_ext_image_get_capability_with_layout: Option<unsafe extern "C" fn(hsa_agent_t, hsa_ext_image_geometry_t, *const hsa_ext_image_format_t, hsa_ext_image_data_layout_t, *mut u32) -> hsa_status_t>;
        hsa_ext_image_data_get_info_with_layout: Option<unsafe extern "C" fn(hsa_agent_t, *const hsa_ext_image_descriptor_t, hsa_access_permission_t, hsa_ext_image_data_layout_t, usize, usize, *mut hsa_ext_image_data_info_t) -> hsa_status_t>;
        hsa_ext_image_create_with_layout: Option<unsafe extern "C" fn(hsa_agent_t, *const hsa_ext_image_descriptor_t, *const c_void, hsa_access_permission_t, hsa_ext_image_data_layout_t, usize, usize, *mut hsa_ext_image_t) -> hsa_status_t>;
        hsa_ext_sampler_create_v2: Option<unsafe extern "C" fn(hsa_agent_t, *const hsa_ext_sampler_descriptor_v2_t, *mut hsa_ext_sampler_t) -> hsa_status_t>, since 7;
    }
    /// Encodes an opaque vendor specific image format.
    hsa_amd_image_descriptor_t {
        /// Version number of the descriptor.
        version: u32;
        /// Vendor and device PCI IDs for the format as `VENDOR_ID << 16 | DEVICE_ID`.
        deviceID: u32;
        /// Start of vendor specific data.
        data: [u32; 1];
    }
}

constants! {
    /// Geometry associated with the image.
    hsa_ext_image_geometry_t: u32 {
        /// One-dimensional image addressed by width coordinate.
        HSA_EXT_IMAGE_GEOMETRY_1D = 0;
        /// Two-dimensional image addressed by width and height coordinates.
        HSA_EXT_IMAGE_GEOMETRY_2D = 1;
        /// Three-dimensional image addressed by width, height, and depth coordinates.
        HSA_EXT_IMAGE_GEOMETRY_3D = 2;
        /// Array of one-dimensional images with the same size and format.
        HSA_EXT_IMAGE_GEOMETRY_1DA = 3;
        /// Array of two-dimensional images with the same size and format.
        HSA_EXT_IMAGE_GEOMETRY_2DA = 4;
        /// One-dimensional image addressed by width coordinate.
        HSA_EXT_IMAGE_GEOMETRY_1DB = 5;
        /// Two-dimensional depth image addressed by width and height coordinates.
        HSA_EXT_IMAGE_GEOMETRY_2DDEPTH = 6;
        /// Array of two-dimensional depth images with the same size and format.
        HSA_EXT_IMAGE_GEOMETRY_2DADEPTH = 7;
    }
    /// Channel type associated with the elements of an image.
    hsa_ext_image_channel_type_t: u32 {
        HSA_EXT_IMAGE_CHANNEL_TYPE_SNORM_INT8 = 0;
        HSA_EXT_IMAGE_CHANNEL_TYPE_SNORM_INT16 = 1;
        HSA_EXT_IMAGE_CHANNEL_TYPE_UNORM_INT8 = 2;
        HSA_EXT_IMAGE_CHANNEL_TYPE_UNORM_INT16 = 3;
        HSA_EXT_IMAGE_CHANNEL_TYPE_UNORM_INT24 = 4;
        HSA_EXT_IMAGE_CHANNEL_TYPE_UNORM_SHORT_555 = 5;
        HSA_EXT_IMAGE_CHANNEL_TYPE_UNORM_SHORT_565 = 6;
        HSA_EXT_IMAGE_CHANNEL_TYPE_UNORM_SHORT_101010 = 7;
        HSA_EXT_IMAGE_CHANNEL_TYPE_SIGNED_INT8 = 8;
        HSA_EXT_IMAGE_CHANNEL_TYPE_SIGNED_INT16 = 9;
        HSA_EXT_IMAGE_CHANNEL_TYPE_SIGNED_INT32 = 10;
        HSA_EXT_IMAGE_CHANNEL_TYPE_UNSIGNED_INT8 = 11;
        HSA_EXT_IMAGE_CHANNEL_TYPE_UNSIGNED_INT16 = 12;
        HSA_EXT_IMAGE_CHANNEL_TYPE_UNSIGNED_INT32 = 13;
        HSA_EXT_IMAGE_CHANNEL_TYPE_HALF_FLOAT = 14;
        HSA_EXT_IMAGE_CHANNEL_TYPE_FLOAT = 15;
    }
    /// Channel order associated with the elements of an image.
    hsa_ext_image_channel_order_t: u32 {
        HSA_EXT_IMAGE_CHANNEL_ORDER_A = 0;
        HSA_EXT_IMAGE_CHANNEL_ORDER_R = 1;
        HSA_EXT_IMAGE_CHANNEL_ORDER_RX = 2;
        HSA_EXT_IMAGE_CHANNEL_ORDER_RG = 3;
        HSA_EXT_IMAGE_CHANNEL_ORDER_RGX = 4;
        HSA_EXT_IMAGE_CHANNEL_ORDER_RA = 5;
        HSA_EXT_IMAGE_CHANNEL_ORDER_RGB = 6;
        HSA_EXT_IMAGE_CHANNEL_ORDER_RGBX = 7;
        HSA_EXT_IMAGE_CHANNEL_ORDER_RGBA = 8;
        HSA_EXT_IMAGE_CHANNEL_ORDER_BGRA = 9;
        HSA_EXT_IMAGE_CHANNEL_ORDER_ARGB = 10;
        HSA_EXT_IMAGE_CHANNEL_ORDER_ABGR = 11;
        HSA_EXT_IMAGE_CHANNEL_ORDER_SRGB = 12;
        HSA_EXT_IMAGE_CHANNEL_ORDER_SRGBX = 13;
        HSA_EXT_IMAGE_CHANNEL_ORDER_SRGBA = 14;
        HSA_EXT_IMAGE_CHANNEL_ORDER_SBGRA = 15;
        HSA_EXT_IMAGE_CHANNEL_ORDER_INTENSITY = 0x10;
        HSA_EXT_IMAGE_CHANNEL_ORDER_LUMINANCE = 0x11;
        HSA_EXT_IMAGE_CHANNEL_ORDER_DEPTH = 0x12;
        HSA_EXT_IMAGE_CHANNEL_ORDER_DEPTH_STENCIL = 0x13;
    }
    /// Image capability.
    hsa_ext_image_capability_t: u32 {
        /// Images of this geometry, format, and layout are not supported by the agent.
        HSA_EXT_IMAGE_CAPABILITY_NOT_SUPPORTED = 0;
        /// Read-only images of this geometry, format, and layout are supported by the agent.
        HSA_EXT_IMAGE_CAPABILITY_READ_ONLY = 1;
        /// Write-only images of this geometry, format, and layout are supported by the agent.
        HSA_EXT_IMAGE_CAPABILITY_WRITE_ONLY = 2;
        /// Read-write images of this geometry, format, and layout are supported by the agent.
        HSA_EXT_IMAGE_CAPABILITY_READ_WRITE = 4;
        HSA_EXT_IMAGE_CAPABILITY_READ_MODIFY_WRITE = 8;
        /// Images of this geometry, format, and layout are guaranteed to have a consistent data layout regardless
        /// of how they are accessed by the associated agent.
        HSA_EXT_IMAGE_CAPABILITY_ACCESS_INVARIANT_DATA_LAYOUT = 0x10;
    }
    /// Image data layout.
    hsa_ext_image_data_layout_t: u32 {
        /// An implementation specific opaque image data layout which can vary depending on the agent, geometry,
        /// image format, image size, and access permissions.
        HSA_EXT_IMAGE_DATA_LAYOUT_OPAQUE = 0;
        /// The image data layout is specified by the following rules in ascending byte address order.
        HSA_EXT_IMAGE_DATA_LAYOUT_LINEAR = 1;
    }
    /// Sampler address modes.
    hsa_ext_sampler_addressing_mode_t: u32 {
        /// Out-of-range coordinates are not handled.
        HSA_EXT_SAMPLER_ADDRESSING_MODE_UNDEFINED = 0;
        /// Clamp out-of-range coordinates to the image edge.
        HSA_EXT_SAMPLER_ADDRESSING_MODE_CLAMP_TO_EDGE = 1;
        /// Clamp out-of-range coordinates to the image border color.
        HSA_EXT_SAMPLER_ADDRESSING_MODE_CLAMP_TO_BORDER = 2;
        /// Wrap out-of-range coordinates back into the valid coordinate range so the image appears as repeated
        /// tiles.
        HSA_EXT_SAMPLER_ADDRESSING_MODE_REPEAT = 3;
        /// Mirror out-of-range coordinates back into the valid coordinate range so the image appears as repeated
        /// tiles with every other tile a reflection.
        HSA_EXT_SAMPLER_ADDRESSING_MODE_MIRRORED_REPEAT = 4;
    }
    /// Sampler coordinate normalization modes.
    hsa_ext_sampler_coordinate_mode_t: u32 {
        /// Coordinates are used to directly address an image element.
        HSA_EXT_SAMPLER_COORDINATE_MODE_UNNORMALIZED = 0;
        /// Coordinates are scaled by the image dimension size before being used to address an image element.
        HSA_EXT_SAMPLER_COORDINATE_MODE_NORMALIZED = 1;
    }
    /// Sampler filter modes.
    hsa_ext_sampler_filter_mode_t: u32 {
        /// Filter to the image element nearest (in Manhattan distance) to the specified coordinate.
        HSA_EXT_SAMPLER_FILTER_MODE_NEAREST = 0;
        /// Filter to the image element calculated by combining the elements in a 2x2 square block or 2x2x2 cube
        /// block around the specified coordinate.
        HSA_EXT_SAMPLER_FILTER_MODE_LINEAR = 1;
    }
}
