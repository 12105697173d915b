//! Images: what programs ask before they make one, and a clean refusal to make one.
//!
//! The software device has no texture units: image instructions are faults. HIP asks for limits and layouts even where no image is meant (pitched
//! memory, two-dimensional copies), so those are answered as for linear images of gfx9. Making an image or a sampler answers NOT_SUPPORTED,
//! which HIP turns into an error of its call.

use std::ffi::c_void;

use hsa_sys::raw::*;

use crate::agent::{agent_of, gpu_of};
use crate::edge::{Answer, In, Opaque, Out, Room};
use crate::export::export;
use crate::runtime::{HSA_STATUS_ERROR_NOT_SUPPORTED, Runtime, status_with};

/// Rows of linear images begin at multiples of this.
const PITCH: usize = 256;

/// Returns what the linear layout of an image takes.
fn linear(image: &hsa_ext_image_descriptor_t, row: usize, slice: usize) -> Answer<hsa_ext_image_data_info_t> {
    let bad = HSA_EXT_STATUS_ERROR_IMAGE_SIZE_UNSUPPORTED;
    let texel = texel_bytes(&image.format).ok_or(HSA_EXT_STATUS_ERROR_IMAGE_FORMAT_UNSUPPORTED)?;
    let least = image.width.checked_mul(texel).ok_or(bad)?;
    let row = match row {
        0 => least.checked_next_multiple_of(PITCH).ok_or(bad)?,
        row if row >= least && row.is_multiple_of(PITCH) => row,
        _ => return Err(HSA_EXT_STATUS_ERROR_IMAGE_PITCH_UNSUPPORTED),
    };
    let rows = row.checked_mul(image.height.max(1)).ok_or(bad)?;
    let slice = match slice {
        0 => rows,
        slice if slice >= rows => slice,
        _ => return Err(HSA_EXT_STATUS_ERROR_IMAGE_PITCH_UNSUPPORTED),
    };
    let size = slice.checked_mul(image.depth.max(1)).and_then(|all| all.checked_mul(image.array_size.max(1)));
    Ok(hsa_ext_image_data_info_t { size: size.ok_or(bad)?, alignment: PITCH })
}

/// Returns the bytes of a texel.
fn texel_bytes(format: &hsa_ext_image_format_t) -> Option<usize> {
    let channel = match format.channel_type {
        HSA_EXT_IMAGE_CHANNEL_TYPE_SNORM_INT8
        | HSA_EXT_IMAGE_CHANNEL_TYPE_UNORM_INT8
        | HSA_EXT_IMAGE_CHANNEL_TYPE_SIGNED_INT8
        | HSA_EXT_IMAGE_CHANNEL_TYPE_UNSIGNED_INT8 => 1,
        HSA_EXT_IMAGE_CHANNEL_TYPE_SNORM_INT16
        | HSA_EXT_IMAGE_CHANNEL_TYPE_UNORM_INT16
        | HSA_EXT_IMAGE_CHANNEL_TYPE_SIGNED_INT16
        | HSA_EXT_IMAGE_CHANNEL_TYPE_UNSIGNED_INT16
        | HSA_EXT_IMAGE_CHANNEL_TYPE_HALF_FLOAT => 2,
        HSA_EXT_IMAGE_CHANNEL_TYPE_SIGNED_INT32
        | HSA_EXT_IMAGE_CHANNEL_TYPE_UNSIGNED_INT32
        | HSA_EXT_IMAGE_CHANNEL_TYPE_FLOAT
        | HSA_EXT_IMAGE_CHANNEL_TYPE_UNORM_INT24 => 4,
        // Whole texels in 16 or 32 bits.
        HSA_EXT_IMAGE_CHANNEL_TYPE_UNORM_SHORT_555 | HSA_EXT_IMAGE_CHANNEL_TYPE_UNORM_SHORT_565 => return Some(2),
        HSA_EXT_IMAGE_CHANNEL_TYPE_UNORM_SHORT_101010 => return Some(4),
        _ => return None,
    };
    let channels = match format.channel_order {
        HSA_EXT_IMAGE_CHANNEL_ORDER_A
        | HSA_EXT_IMAGE_CHANNEL_ORDER_R
        | HSA_EXT_IMAGE_CHANNEL_ORDER_RX
        | HSA_EXT_IMAGE_CHANNEL_ORDER_INTENSITY
        | HSA_EXT_IMAGE_CHANNEL_ORDER_LUMINANCE
        | HSA_EXT_IMAGE_CHANNEL_ORDER_DEPTH => 1,
        HSA_EXT_IMAGE_CHANNEL_ORDER_RG | HSA_EXT_IMAGE_CHANNEL_ORDER_RGX | HSA_EXT_IMAGE_CHANNEL_ORDER_RA => 2,
        HSA_EXT_IMAGE_CHANNEL_ORDER_RGB | HSA_EXT_IMAGE_CHANNEL_ORDER_RGBX | HSA_EXT_IMAGE_CHANNEL_ORDER_SRGB => 3,
        HSA_EXT_IMAGE_CHANNEL_ORDER_RGBA
        | HSA_EXT_IMAGE_CHANNEL_ORDER_BGRA
        | HSA_EXT_IMAGE_CHANNEL_ORDER_ARGB
        | HSA_EXT_IMAGE_CHANNEL_ORDER_ABGR
        | HSA_EXT_IMAGE_CHANNEL_ORDER_SRGBX
        | HSA_EXT_IMAGE_CHANNEL_ORDER_SRGBA
        | HSA_EXT_IMAGE_CHANNEL_ORDER_SBGRA => 4,
        _ => return None,
    };
    Some(channel * channels)
}

fn capability(runtime: &Runtime, agent: hsa_agent_t, mask: Out<u32>) -> Answer {
    gpu_of(runtime, agent)?;
    mask.put(HSA_EXT_IMAGE_CAPABILITY_NOT_SUPPORTED)
}

fn refuse(runtime: &Runtime, agent: hsa_agent_t) -> Answer {
    agent_of(runtime, agent)?;
    Err(HSA_STATUS_ERROR_NOT_SUPPORTED)
}

export! {
    /// Says what can be done with images of a format: nothing.
    fn hsa_ext_image_get_capability(
        agent: hsa_agent_t,
        _geometry: hsa_ext_image_geometry_t,
        _format: In<'_, hsa_ext_image_format_t>,
        mask: Out<u32>,
    ) -> hsa_status_t {
        status_with(|runtime| capability(runtime, agent, mask))
    }

    /// As [`hsa_ext_image_get_capability`].
    fn hsa_ext_image_get_capability_with_layout(
        agent: hsa_agent_t,
        _geometry: hsa_ext_image_geometry_t,
        _format: In<'_, hsa_ext_image_format_t>,
        _layout: hsa_ext_image_data_layout_t,
        mask: Out<u32>,
    ) -> hsa_status_t {
        status_with(|runtime| capability(runtime, agent, mask))
    }

    /// Says what memory an image takes.
    fn hsa_ext_image_data_get_info(
        agent: hsa_agent_t,
        image: In<'_, hsa_ext_image_descriptor_t>,
        _access: hsa_access_permission_t,
        info: Out<hsa_ext_image_data_info_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            gpu_of(runtime, agent)?;
            info.put(linear(&image.get()?, 0, 0)?)
        })
    }

    /// As [`hsa_ext_image_data_get_info`], with given pitches.
    fn hsa_ext_image_data_get_info_with_layout(
        agent: hsa_agent_t,
        image: In<'_, hsa_ext_image_descriptor_t>,
        _access: hsa_access_permission_t,
        _layout: hsa_ext_image_data_layout_t,
        row: usize,
        slice: usize,
        info: Out<hsa_ext_image_data_info_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            gpu_of(runtime, agent)?;
            info.put(linear(&image.get()?, row, slice)?)
        })
    }

    /// Refuses to make an image.
    fn hsa_ext_image_create(
        agent: hsa_agent_t,
        _image: In<'_, hsa_ext_image_descriptor_t>,
        _data: Opaque,
        _access: hsa_access_permission_t,
        _handle: Out<hsa_ext_image_t>,
    ) -> hsa_status_t {
        status_with(|runtime| refuse(runtime, agent))
    }

    /// Refuses to make an image.
    fn hsa_ext_image_create_with_layout(
        agent: hsa_agent_t,
        _image: In<'_, hsa_ext_image_descriptor_t>,
        _data: Opaque,
        _access: hsa_access_permission_t,
        _layout: hsa_ext_image_data_layout_t,
        _row: usize,
        _slice: usize,
        _handle: Out<hsa_ext_image_t>,
    ) -> hsa_status_t {
        status_with(|runtime| refuse(runtime, agent))
    }

    /// Refuses to make an image.
    fn hsa_amd_image_create(
        agent: hsa_agent_t,
        _image: In<'_, hsa_ext_image_descriptor_t>,
        _layout: Opaque,
        _data: Opaque,
        _access: hsa_access_permission_t,
        _handle: Out<hsa_ext_image_t>,
    ) -> hsa_status_t {
        status_with(|runtime| refuse(runtime, agent))
    }

    /// There is no image to destroy.
    fn hsa_ext_image_destroy(agent: hsa_agent_t, _image: hsa_ext_image_t) -> hsa_status_t {
        status_with(|runtime| refuse(runtime, agent))
    }

    /// There is no image to copy.
    fn hsa_ext_image_copy(
        agent: hsa_agent_t,
        _from: hsa_ext_image_t,
        _from_offset: In<'_, hsa_dim3_t>,
        _to: hsa_ext_image_t,
        _to_offset: In<'_, hsa_dim3_t>,
        _range: In<'_, hsa_dim3_t>,
    ) -> hsa_status_t {
        status_with(|runtime| refuse(runtime, agent))
    }

    /// There is no image to fill.
    fn hsa_ext_image_import(
        agent: hsa_agent_t,
        _memory: Opaque,
        _row: usize,
        _slice: usize,
        _image: hsa_ext_image_t,
        _region: In<'_, hsa_ext_image_region_t>,
    ) -> hsa_status_t {
        status_with(|runtime| refuse(runtime, agent))
    }

    /// There is no image to read.
    fn hsa_ext_image_export(
        agent: hsa_agent_t,
        _image: hsa_ext_image_t,
        _memory: Opaque,
        _row: usize,
        _slice: usize,
        _region: In<'_, hsa_ext_image_region_t>,
    ) -> hsa_status_t {
        status_with(|runtime| refuse(runtime, agent))
    }

    /// There is no image to clear.
    fn hsa_ext_image_clear(
        agent: hsa_agent_t,
        _image: hsa_ext_image_t,
        _data: Opaque,
        _region: In<'_, hsa_ext_image_region_t>,
    ) -> hsa_status_t {
        status_with(|runtime| refuse(runtime, agent))
    }

    /// Refuses to make a sampler.
    fn hsa_ext_sampler_create(
        agent: hsa_agent_t,
        _sampler: In<'_, hsa_ext_sampler_descriptor_t>,
        _handle: Out<hsa_ext_sampler_t>,
    ) -> hsa_status_t {
        status_with(|runtime| refuse(runtime, agent))
    }

    /// Refuses to make a sampler.
    fn hsa_ext_sampler_create_v2(
        agent: hsa_agent_t,
        _sampler: In<'_, hsa_ext_sampler_descriptor_v2_t>,
        _handle: Out<hsa_ext_sampler_t>,
    ) -> hsa_status_t {
        status_with(|runtime| refuse(runtime, agent))
    }

    /// There is no sampler to destroy.
    fn hsa_ext_sampler_destroy(agent: hsa_agent_t, _sampler: hsa_ext_sampler_t) -> hsa_status_t {
        status_with(|runtime| refuse(runtime, agent))
    }

    /// Says how large an image may be.
    fn hsa_amd_image_get_info_max_dim(
        agent: hsa_agent_t,
        attribute: hsa_agent_info_t,
        value: Room,
    ) -> hsa_status_t {
        status_with(|runtime| {
            gpu_of(runtime, agent)?;
            crate::agent::image_info(attribute, value)
        })
    }
}

/// Returns the functions of the images extension, in the order of its table.
pub(crate) fn table() -> Vec<*const c_void> {
    vec![
        hsa_ext_image_get_capability as *const c_void,
        hsa_ext_image_data_get_info as *const c_void,
        hsa_ext_image_create as *const c_void,
        hsa_ext_image_destroy as *const c_void,
        hsa_ext_image_copy as *const c_void,
        hsa_ext_image_import as *const c_void,
        hsa_ext_image_export as *const c_void,
        hsa_ext_image_clear as *const c_void,
        hsa_ext_sampler_create as *const c_void,
        hsa_ext_sampler_destroy as *const c_void,
        hsa_ext_image_get_capability_with_layout as *const c_void,
        hsa_ext_image_data_get_info_with_layout as *const c_void,
        hsa_ext_image_create_with_layout as *const c_void,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: usize, height: usize) -> hsa_ext_image_descriptor_t {
        let format = hsa_ext_image_format_t {
            channel_type: HSA_EXT_IMAGE_CHANNEL_TYPE_FLOAT,
            channel_order: HSA_EXT_IMAGE_CHANNEL_ORDER_RGBA,
        };
        hsa_ext_image_descriptor_t {
            geometry: HSA_EXT_IMAGE_GEOMETRY_2D,
            width,
            height,
            depth: 0,
            array_size: 0,
            format,
        }
    }

    #[test]
    fn rows_begin_at_multiples_of_the_pitch() {
        let size = |image, row, slice| linear(&image, row, slice).map(|info| info.size);
        assert_eq!(size(image(100, 3), 0, 0), Ok(1792 * 3));
        assert_eq!(size(image(100, 3), 2048, 0), Ok(2048 * 3));
        assert_eq!(size(image(100, 3), 2048, 8192), Ok(8192));
        assert_eq!(size(image(100, 3), 1024, 0), Err(HSA_EXT_STATUS_ERROR_IMAGE_PITCH_UNSUPPORTED));
        assert_eq!(size(image(usize::MAX, 3), 0, 0), Err(HSA_EXT_STATUS_ERROR_IMAGE_SIZE_UNSUPPORTED));
    }

    #[test]
    fn the_table_is_as_long_as_amds() {
        // The last function of 6.4 came with another minor version than the one we say we have.
        assert_eq!(table().len(), size_of::<hsa_ext_images_1_pfn_t>() / size_of::<usize>() - 1);
    }
}
