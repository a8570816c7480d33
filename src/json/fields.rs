//! Structs that are read from objects.

/// Reads each struct's fields by their names in JSON. A field that stands twice is refused: nobody could say which of the
/// two the API server means.
macro_rules! fields {
    ($($of:ident { $($name:literal => $field:ident),+ })+) => {
        $(impl<'a> $crate::json::Read<'a> for $of<'a> {
            fn read(&mut self, reader: &mut $crate::json::Reader<'a>) -> Result<(), $crate::json::Error> {
                $(let mut $field = false;)+
                reader.object(|reader, name| match &*name {
                    $($name if ::std::mem::replace(&mut $field, true) => reader.expected("each field once"),
                    $name => reader.field(&mut self.$field),)+
                    _ => reader.skip().map(drop),
                })
            }
        })+
    };
}

pub(crate) use fields;
