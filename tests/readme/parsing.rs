use poolhit::guest::{ImageFile, Request};
use poolhit::{Lab, assert_no_leaks};

pub fn parsing_does_not_leak() {
    let driver = ImageFile::open("fixtures/prebuilt/leaky.sys").unwrap();
    let lab = Lab::builder().driver(driver).requester().track_leaks();
    let mut lab = lab.build().unwrap();
    let device = lab.open_device(r"\\.\Leaky").unwrap();
    for value in 0xba8_u32..0xbb2 {
        // the program calls DeviceIoControl(device, 0x222044, &value, 4, …)
        let input = value.to_le_bytes();
        lab.request(&Request::ioctl(device, 0x222044, &input, 0))
            .unwrap();
    }
    lab.request(&Request::Close { handle: device }).unwrap();
    assert_no_leaks!(lab);
}
