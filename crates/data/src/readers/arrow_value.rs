//! Converts values of Arrow's columns to JSON without writing text in between. The values are those that `arrow-json` writes, except that times with
//! a zone are in UTC.

use arrow_array::{
    Array, ArrayRef, RecordBatch, cast::AsArray as _, temporal_conversions::as_datetime, types::*,
};
use arrow_schema::{DataType, IntervalUnit, TimeUnit};
use serde_json::{Map, Number, Value};

/// Returns a row of a batch by its columns' names. Columns without a value are left out. Returns `None` if the row takes more than `most` bytes:
/// a few codes of a dictionary can represent as many.
pub fn row(batch: &RecordBatch, index: usize, most: usize) -> Option<Map<String, Value>> {
    let names = batch.schema_ref().fields().iter().map(|field| field.name().as_str());
    Budget(most).fields(names, batch.columns(), index)
}

/// Number of bytes that a row may still take.
struct Budget(usize);

impl Budget {
    /// Returns the entry at `index`, or null where there is none or where it is a number that JSON cannot represent.
    fn value(&mut self, array: &dyn Array, index: usize) -> Option<Value> {
        self.spend(size_of::<Value>())?;
        if array.is_null(index) {
            return Some(Value::Null);
        }
        /// The entry of an array of primitive values.
        macro_rules! entry {
            ($kind:ty) => {
                array.as_primitive::<$kind>().value(index)
            };
        }
        macro_rules! text {
            ($kind:ty, $as:ident) => {
                array
                    .as_primitive::<$kind>()
                    .$as(index)
                    .map_or(Value::Null, |value| format!("{value:?}").into())
            };
        }
        macro_rules! timestamp {
            ($kind:ty, $zone:expr) => {
                as_datetime::<$kind>(entry!($kind)).map_or(Value::Null, |value| match $zone {
                    Some(_) => format!("{value:?}Z").into(),
                    None => format!("{value:?}").into(),
                })
            };
        }
        macro_rules! duration {
            ($kind:ty) => {
                array
                    .as_primitive::<$kind>()
                    .value_as_duration(index)
                    .map_or(Value::Null, |value| value.to_string().into())
            };
        }
        macro_rules! decimal {
            ($kind:ty, $precision:expr, $scale:expr) => {
                decimal(&<$kind as DecimalType>::format_decimal(entry!($kind), *$precision, *$scale))
            };
        }
        Some(match array.data_type() {
            DataType::Null => Value::Null,
            DataType::Boolean => array.as_boolean().value(index).into(),
            DataType::Int8 => entry!(Int8Type).into(),
            DataType::Int16 => entry!(Int16Type).into(),
            DataType::Int32 => entry!(Int32Type).into(),
            DataType::Int64 => entry!(Int64Type).into(),
            DataType::UInt8 => entry!(UInt8Type).into(),
            DataType::UInt16 => entry!(UInt16Type).into(),
            DataType::UInt32 => entry!(UInt32Type).into(),
            DataType::UInt64 => entry!(UInt64Type).into(),
            DataType::Float16 => float(f32::from(entry!(Float16Type))),
            DataType::Float32 => float(entry!(Float32Type)),
            DataType::Float64 => entry!(Float64Type).into(),
            DataType::Decimal32(precision, scale) => decimal!(Decimal32Type, precision, scale),
            DataType::Decimal64(precision, scale) => decimal!(Decimal64Type, precision, scale),
            DataType::Decimal128(precision, scale) => decimal!(Decimal128Type, precision, scale),
            DataType::Decimal256(precision, scale) => decimal!(Decimal256Type, precision, scale),
            DataType::Utf8 => self.text(array.as_string::<i32>().value(index))?,
            DataType::LargeUtf8 => self.text(array.as_string::<i64>().value(index))?,
            DataType::Utf8View => self.text(array.as_string_view().value(index))?,
            DataType::Binary => self.hexadecimal(array.as_binary::<i32>().value(index))?,
            DataType::LargeBinary => self.hexadecimal(array.as_binary::<i64>().value(index))?,
            DataType::BinaryView => self.hexadecimal(array.as_binary_view().value(index))?,
            DataType::FixedSizeBinary(_) => self.hexadecimal(array.as_fixed_size_binary().value(index))?,
            DataType::Date32 => text!(Date32Type, value_as_date),
            DataType::Date64 => text!(Date64Type, value_as_datetime),
            DataType::Time32(TimeUnit::Second) => text!(Time32SecondType, value_as_time),
            DataType::Time32(_) => text!(Time32MillisecondType, value_as_time),
            DataType::Time64(TimeUnit::Microsecond) => text!(Time64MicrosecondType, value_as_time),
            DataType::Time64(_) => text!(Time64NanosecondType, value_as_time),
            DataType::Timestamp(TimeUnit::Second, zone) => timestamp!(TimestampSecondType, zone),
            DataType::Timestamp(TimeUnit::Millisecond, zone) => timestamp!(TimestampMillisecondType, zone),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => timestamp!(TimestampMicrosecondType, zone),
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => timestamp!(TimestampNanosecondType, zone),
            DataType::Duration(TimeUnit::Second) => duration!(DurationSecondType),
            DataType::Duration(TimeUnit::Millisecond) => duration!(DurationMillisecondType),
            DataType::Duration(TimeUnit::Microsecond) => duration!(DurationMicrosecondType),
            DataType::Duration(TimeUnit::Nanosecond) => duration!(DurationNanosecondType),
            DataType::Interval(IntervalUnit::YearMonth) => {
                format!("{:?}", entry!(IntervalYearMonthType)).into()
            }
            DataType::Interval(IntervalUnit::DayTime) => format!("{:?}", entry!(IntervalDayTimeType)).into(),
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                format!("{:?}", entry!(IntervalMonthDayNanoType)).into()
            }
            DataType::List(_) => self.list(&array.as_list::<i32>().value(index))?,
            DataType::LargeList(_) => self.list(&array.as_list::<i64>().value(index))?,
            DataType::ListView(_) => self.list(&array.as_list_view::<i32>().value(index))?,
            DataType::LargeListView(_) => self.list(&array.as_list_view::<i64>().value(index))?,
            DataType::FixedSizeList(..) => self.list(&array.as_fixed_size_list().value(index))?,
            DataType::Struct(_) => {
                let array = array.as_struct();
                self.fields(array.column_names().into_iter(), array.columns(), index)?.into()
            }
            DataType::Map(..) => {
                let entries = array.as_map().value(index);
                let (keys, values) = (entries.column(0), entries.column(1));
                let mut map = Map::new();
                for at in 0..entries.len() {
                    let (key, value) = (self.value(keys, at)?, self.value(values, at)?);
                    if !value.is_null() {
                        map.insert(key.as_str().map_or_else(|| key.to_string(), str::to_owned), value);
                    }
                }
                map.into()
            }
            DataType::Dictionary(..) => {
                let array = array.as_any_dictionary();
                let key = self.value(array.keys(), index)?.as_u64()?;
                self.value(array.values(), usize::try_from(key).ok()?)?
            }
            DataType::RunEndEncoded(ends, _) => match ends.data_type() {
                DataType::Int16 => self.of_run::<Int16Type>(array, index)?,
                DataType::Int32 => self.of_run::<Int32Type>(array, index)?,
                _ => self.of_run::<Int64Type>(array, index)?,
            },
            DataType::Union(..) => {
                let array = array.as_union();
                self.value(&array.value(index), 0)?
            }
        })
    }

    fn of_run<R: RunEndIndexType>(&mut self, array: &dyn Array, index: usize) -> Option<Value> {
        let array = array.as_run::<R>();
        self.value(array.values(), array.get_physical_index(index))
    }

    fn fields<'a>(
        &mut self,
        names: impl Iterator<Item = &'a str>,
        columns: &[ArrayRef],
        index: usize,
    ) -> Option<Map<String, Value>> {
        let mut fields = Map::new();
        for (name, column) in names.zip(columns) {
            let value = self.value(column, index)?;
            if !value.is_null() {
                self.spend(name.len())?;
                fields.insert(name.to_owned(), value);
            }
        }
        Some(fields)
    }

    fn list(&mut self, values: &dyn Array) -> Option<Value> {
        (0..values.len()).map(|at| self.value(values, at)).collect::<Option<Vec<_>>>().map(Value::Array)
    }

    fn text(&mut self, text: &str) -> Option<Value> {
        self.spend(text.len())?;
        Some(text.into())
    }

    fn hexadecimal(&mut self, bytes: &[u8]) -> Option<Value> {
        self.spend(2 * bytes.len())?;
        Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
    }

    fn spend(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.checked_sub(bytes)?;
        Some(())
    }
}

/// Parses a number from its decimal digits.
fn decimal(digits: &str) -> Value {
    let exact =
        digits.parse::<i64>().map(Number::from).or_else(|_| digits.parse::<u64>().map(Number::from)).ok();
    let number = exact.or_else(|| digits.parse().ok().and_then(Number::from_f64));
    number.map_or(Value::Null, Value::Number)
}

/// Converts a float to the shortest decimal number that represents it: 0.1 and not 0.10000000149.
fn float(value: f32) -> Value {
    value.to_string().parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, DurationSecondArray,
        FixedSizeListArray, Float32Array, Float64Array, Int32Array, Int64Array, LargeStringArray, ListArray,
        MapArray, RunArray, StringArray, StringViewArray, StructArray, Time32SecondArray,
        TimestampMicrosecondArray, UInt8Array, UInt64Array,
        builder::{Int32Builder, MapBuilder, StringBuilder},
    };
    use arrow_schema::Field;
    use serde_json::json;

    use super::*;

    fn one(array: impl Array, index: usize) -> Value {
        Budget(1 << 20).value(&array, index).unwrap()
    }

    #[test]
    fn a_value_of_each_type() {
        let days = 19_000;
        let micros = i64::from(days) * 86_400_000_000 + 1_500_000;
        let dictionary: DictionaryArray<Int32Type> = ["yes", "no", "yes"].into_iter().collect();
        let run =
            RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2, 3]), &StringArray::from(vec!["a", "b"]))
                .unwrap();
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None, Some(3)])]);
        let fixed = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), Some(2)])], 2);
        let zoned = TimestampMicrosecondArray::from(vec![micros]).with_timezone("Europe/Paris");
        let decimal = Decimal128Array::from(vec![-12_345]).with_precision_and_scale(10, 2).unwrap();
        for (got, expected) in [
            (one(BooleanArray::from(vec![true]), 0), json!(true)),
            (one(Int64Array::from(vec![None, Some(i64::MIN)]), 0), Value::Null),
            (one(Int64Array::from(vec![None, Some(i64::MIN)]), 1), json!(i64::MIN)),
            (one(UInt64Array::from(vec![u64::MAX]), 0), json!(u64::MAX)),
            (one(UInt8Array::from(vec![200]), 0), json!(200)),
            (one(Float32Array::from(vec![0.1]), 0), json!(0.1)),
            (one(Float32Array::from(vec![2.0]), 0), json!(2.0)),
            (one(Float64Array::from(vec![f64::NAN]), 0), Value::Null),
            (one(decimal, 0), json!(-123.45)),
            (one(StringArray::from(vec!["你好"]), 0), json!("你好")),
            (one(LargeStringArray::from(vec!["x"]), 0), json!("x")),
            (
                one(StringViewArray::from(vec!["a view of more than twelve bytes"]), 0),
                json!("a view of more than twelve bytes"),
            ),
            (one(BinaryArray::from(vec![&[0u8, 255][..]]), 0), json!("00ff")),
            (one(Date32Array::from(vec![days]), 0), json!("2022-01-08")),
            (one(Time32SecondArray::from(vec![3661]), 0), json!("01:01:01")),
            (one(TimestampMicrosecondArray::from(vec![micros]), 0), json!("2022-01-08T00:00:01.500")),
            (one(zoned, 0), json!("2022-01-08T00:00:01.500Z")),
            (one(DurationSecondArray::from(vec![90]), 0), json!("PT90S")),
            (one(dictionary, 2), json!("yes")),
            (one(run, 2), json!("b")),
            (one(list, 0), json!([1, null, 3])),
            (one(fixed, 0), json!([1, 2])),
        ] {
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn fields_without_a_value_are_left_out() {
        let fields = [("a", None), ("b", Some("x"))].map(|(name, value)| {
            let column: ArrayRef = Arc::new(StringArray::from(vec![value]));
            (Arc::new(Field::new(name, DataType::Utf8, true)), column)
        });
        assert_eq!(one(StructArray::from(fields.to_vec()), 0), json!({ "b": "x" }));
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        map.keys().append_value("one");
        map.values().append_value(1);
        map.append(true).unwrap();
        let map: MapArray = map.finish();
        assert_eq!(one(map, 0), json!({ "one": 1 }));
    }

    #[test]
    fn a_row_that_is_too_long_is_none() {
        let long = StringArray::from(vec!["x".repeat(100)]);
        assert!(Budget(80).value(&long, 0).is_none());
        // Twenty codes for one long value.
        let codes: DictionaryArray<Int32Type> = std::iter::repeat_n("y".repeat(100).as_str(), 20).collect();
        let item = Arc::new(Field::new_list_field(codes.data_type().clone(), true));
        let list = FixedSizeListArray::new(item, 20, Arc::new(codes), None);
        assert!(Budget(1000).value(&list, 0).is_none());
        assert!(Budget(10_000).value(&list, 0).is_some());
    }
}
