//! Values of a script, as far as they are certain: literals, and objects that are known by the call that makes them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// Largest number of values in a list or dictionary, all levels together, and longest text in bytes: names could double them forever.
pub(super) const MAX_SIZE: usize = 1024;
/// Largest depth of lists and dictionaries, and of objects that are made from objects.
pub(super) const MAX_DEPTH: usize = 48;

/// A value.
#[derive(Debug, Clone)]
pub(in crate::import) struct Val {
    pub(in crate::import) what: What,
    /// Where the value comes from, if the script's user could give another: `the default of --lr`.
    pub(in crate::import) origin: Option<Rc<str>>,
}

/// A value without its origin.
#[derive(Debug, Clone)]
pub(in crate::import) enum What {
    /// It is not certain.
    Unknown,
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    /// A list, tuple or set.
    List(Rc<List>),
    Dict(Rc<Dict>),
    Object(Rc<Object>),
    /// One of several objects.
    Either(Rc<Vec<Val>>),
}

/// A value and its range in the text.
#[derive(Debug, Clone)]
pub(in crate::import) struct Item {
    pub(in crate::import) val: Val,
    pub(in crate::import) span: Range<usize>,
}

#[derive(Debug)]
pub(in crate::import) struct List {
    pub(in crate::import) items: Vec<Item>,
    pub(super) is_tuple: bool,
    pub(super) extent: Extent,
}

/// A dictionary. Of entries with the same key, the last counts.
#[derive(Debug)]
pub(in crate::import) struct Dict {
    /// A key is `None` where `**` adds entries that are not known.
    pub(in crate::import) entries: Vec<(Option<Rc<str>>, Item)>,
    pub(super) extent: Extent,
}

/// How large a collection is, and whether it is changed in place.
#[derive(Debug, Default)]
pub(super) struct Extent {
    pub(super) size: usize,
    pub(super) depth: usize,
    pub(super) changed: Cell<bool>,
}

/// An object, and the objects that it is made from.
#[derive(Debug)]
pub(in crate::import) struct Object {
    pub(in crate::import) kind: Kind,
    pub(super) depth: usize,
}

#[derive(Debug)]
pub(in crate::import) enum Kind {
    /// A name of another module, or one that the script does not define: `peft.LoraConfig`.
    Import(Rc<str>),
    Call(Rc<Call>),
    /// An attribute of an object that is not known.
    Attribute(Val),
    /// `base[key]`, or a part of what a call returns.
    Element(Val, What),
    /// A function of the script, by its number.
    Function(usize),
    /// A class of the script, by its number.
    Class(usize),
    /// An object with fields: an instance, a class's attributes, argparse's namespace.
    Fields(Rc<Fields>),
    /// `argparse.ArgumentParser()`.
    ArgumentParser(Rc<Fields>),
}

/// Fields of an object.
#[derive(Debug, Default)]
pub(in crate::import) struct Fields {
    /// Values by name, and how often each was set later on.
    pub(super) all: RefCell<BTreeMap<Rc<str>, (Val, usize)>>,
    /// The class of the script that the object is an instance of.
    pub(super) class: Cell<Option<usize>>,
    /// An attribute was set whose name is not known.
    pub(super) lost: Cell<bool>,
}

/// A call.
#[derive(Debug)]
pub(in crate::import) struct Call {
    /// Name of what is called, without the name that an object has in the script: `peft.LoraConfig`, `transformers.AutoModel.from_pretrained`,
    /// `train_test_split`.
    pub(in crate::import) name: Rc<str>,
    /// The object whose method is called.
    pub(in crate::import) base: Option<Val>,
    pub(in crate::import) at: usize,
    /// Position in the order in which the calls run.
    pub(in crate::import) order: usize,
    pub(in crate::import) arguments: Vec<Argument>,
    /// Whether the run passes here for certain: the call is in no branch or loop, nor in a function that is not called.
    pub(in crate::import) certain: bool,
    /// Whether a parser makes the object from the script's command line.
    pub(in crate::import) is_parsed: Cell<bool>,
    /// Attributes that are set on what the call returns.
    pub(in crate::import) changes: RefCell<Vec<Change>>,
}

/// An argument of a call.
#[derive(Debug, Clone)]
pub(in crate::import) struct Argument {
    /// The keyword; `**` for arguments that are not known.
    pub(in crate::import) name: Option<Rc<str>>,
    pub(in crate::import) at: usize,
    pub(in crate::import) item: Item,
}

/// `object.name = value`.
#[derive(Debug, Clone)]
pub(in crate::import) struct Change {
    /// The attribute; `None` if it is not known.
    pub(in crate::import) name: Option<Rc<str>>,
    pub(in crate::import) at: usize,
    pub(in crate::import) order: usize,
    pub(in crate::import) item: Item,
    pub(in crate::import) certain: bool,
}

impl From<What> for Val {
    fn from(what: What) -> Self {
        Self { what, origin: None }
    }
}

impl From<&str> for What {
    fn from(text: &str) -> Self {
        What::Text(text.into())
    }
}

impl Val {
    pub(super) const UNKNOWN: Val = Val { what: What::Unknown, origin: None };

    pub(super) fn object(kind: Kind) -> Self {
        let base = match &kind {
            Kind::Attribute(base) | Kind::Element(base, _) => base.depth(),
            Kind::Call(call) => {
                let arguments = call.arguments.iter().map(|argument| argument.item.val.depth());
                arguments.chain(call.base.iter().map(Val::depth)).max().unwrap_or_default()
            }
            _ => 0,
        };
        match base {
            depth if depth >= MAX_DEPTH => Self::UNKNOWN,
            depth => What::Object(Rc::new(Object { kind, depth: depth + 1 })).into(),
        }
    }

    pub(super) fn import(name: &str) -> Self {
        if name.len() > 256 { Self::UNKNOWN } else { Self::object(Kind::Import(name.into())) }
    }

    pub(super) fn list(items: Vec<Item>, is_tuple: bool) -> Self {
        match extent(items.iter()) {
            Some(extent) => What::List(Rc::new(List { items, is_tuple, extent })).into(),
            None => Self::UNKNOWN,
        }
    }

    pub(super) fn dict(entries: Vec<(Option<Rc<str>>, Item)>) -> Self {
        match extent(entries.iter().map(|(_, item)| item)) {
            Some(extent) => What::Dict(Rc::new(Dict { entries, extent })).into(),
            None => Self::UNKNOWN,
        }
    }

    /// Returns the object's kind, if it is an object.
    pub(in crate::import) fn kind(&self) -> Option<&Kind> {
        match &self.what {
            What::Object(object) => Some(&object.kind),
            _ => None,
        }
    }

    pub(in crate::import) fn call(&self) -> Option<&Rc<Call>> {
        match self.kind() {
            Some(Kind::Call(call)) => Some(call),
            _ => None,
        }
    }

    pub(in crate::import) fn is_unknown(&self) -> bool {
        matches!(self.what, What::Unknown)
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self.what, What::Object(_) | What::Either(_))
    }

    fn depth(&self) -> usize {
        match &self.what {
            What::List(list) => list.extent.depth,
            What::Dict(dict) => dict.extent.depth,
            What::Object(object) => object.depth,
            What::Either(all) => all.iter().map(Val::depth).max().unwrap_or_default() + 1,
            _ => 0,
        }
    }

    fn size(&self) -> usize {
        match &self.what {
            What::List(list) => list.extent.size,
            What::Dict(dict) => dict.extent.size,
            What::Either(all) => all.len(),
            What::Text(text) => 1 + text.len() / 16,
            _ => 1,
        }
    }

    /// Marks a list or dictionary as changed in place somewhere.
    pub(super) fn change(&self) {
        match &self.what {
            What::List(list) => list.extent.changed.set(true),
            What::Dict(dict) => dict.extent.changed.set(true),
            _ => {}
        }
    }

    /// Returns the value, unless it is a list or dictionary that is changed in place.
    pub(super) fn settled(self) -> Self {
        let changed = match &self.what {
            What::List(list) => list.extent.changed.get(),
            What::Dict(dict) => dict.extent.changed.get(),
            _ => false,
        };
        if changed { Self::UNKNOWN } else { self }
    }

    /// Whether two values are certainly the same.
    pub(in crate::import) fn same(&self, other: &Val) -> bool {
        match (&self.what, &other.what) {
            (What::None, What::None) => true,
            (What::Bool(a), What::Bool(b)) => a == b,
            (What::Int(a), What::Int(b)) => a == b,
            (What::Float(a), What::Float(b)) => a.to_bits() == b.to_bits(),
            (What::Text(a), What::Text(b)) => a == b,
            (What::List(a), What::List(b)) => {
                let same = a.items.iter().zip(&b.items).all(|(a, b)| a.val.same(&b.val));
                Rc::ptr_eq(a, b) || a.items.len() == b.items.len() && same
            }
            (What::Dict(a), What::Dict(b)) => {
                let same =
                    a.entries.iter().zip(&b.entries).all(|(a, b)| a.0 == b.0 && a.1.val.same(&b.1.val));
                Rc::ptr_eq(a, b) || a.entries.len() == b.entries.len() && same
            }
            (What::Object(a), What::Object(b)) => match (&a.kind, &b.kind) {
                (Kind::Import(a), Kind::Import(b)) => a == b,
                (Kind::Function(a), Kind::Function(b)) | (Kind::Class(a), Kind::Class(b)) => a == b,
                (Kind::Call(a), Kind::Call(b)) => Rc::ptr_eq(a, b),
                (Kind::Fields(a), Kind::Fields(b)) => Rc::ptr_eq(a, b),
                _ => Rc::ptr_eq(a, b),
            },
            _ => false,
        }
    }
}

/// Returns the extent of a collection, if it is not too large.
fn extent<'a>(items: impl Iterator<Item = &'a Item>) -> Option<Extent> {
    let (mut size, mut depth) = (1, 0);
    for item in items {
        size += item.val.size();
        depth = depth.max(item.val.depth());
    }
    (size <= MAX_SIZE && depth < MAX_DEPTH).then(|| Extent {
        size,
        depth: depth + 1,
        changed: Cell::new(false),
    })
}

impl Dict {
    /// Returns the value of a key; `None` if the key is absent or not certain.
    pub(in crate::import) fn get(&self, key: &str) -> Option<&Item> {
        for (name, item) in self.entries.iter().rev() {
            match name {
                None => return None,
                Some(name) if **name == *key => return Some(item),
                Some(_) => {}
            }
        }
        None
    }
}

impl Fields {
    /// Returns the value of a field.
    pub(in crate::import) fn get(&self, name: &str) -> Option<Val> {
        if self.lost.get() {
            return Some(Val::UNKNOWN);
        }
        self.all.borrow().get(name).map(|(val, _)| val.clone().settled())
    }

    /// Gives a field its first value.
    pub(super) fn define(&self, name: &str, val: Val) {
        self.put(name, val, 0);
    }

    /// Puts a value in its place. Of an object with more fields than a collection has values, none is known.
    fn put(&self, name: &str, val: Val, times: usize) {
        let mut all = self.all.borrow_mut();
        if all.len() >= MAX_SIZE && !all.contains_key(name) {
            return self.lost.set(true);
        }
        all.insert(name.into(), (val, times));
    }

    /// Number of fields.
    pub(super) fn len(&self) -> usize {
        self.all.borrow().len()
    }

    /// Sets a field later on. Its value stays certain if it is set once, and for certain.
    pub(super) fn set(&self, name: &str, val: Val, certain: bool) {
        let times = self.all.borrow().get(name).map_or(0, |(_, times)| *times) + 1;
        let val = if certain && times == 1 { val } else { Val::UNKNOWN };
        self.put(name, val, times);
    }

    /// Copies the fields into a new object.
    pub(super) fn copied(&self) -> Self {
        let all = self.all.borrow().iter().map(|(name, (val, _))| (name.clone(), (val.clone(), 0))).collect();
        Self { all: RefCell::new(all), lost: Cell::new(self.lost.get()), class: Cell::new(None) }
    }

    /// Returns the fields as a dictionary.
    pub(super) fn dict(&self, at: std::ops::Range<usize>) -> Val {
        if self.lost.get() {
            return Val::UNKNOWN;
        }
        let entry = |(name, (val, _)): (&Rc<str>, &(Val, usize))| {
            (Some(name.clone()), Item { val: val.clone().settled(), span: at.clone() })
        };
        Val::dict(self.all.borrow().iter().map(entry).collect())
    }
}

impl Call {
    /// Last part of the name: `LoraConfig`, `from_pretrained`.
    pub(in crate::import) fn last(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    /// Returns an argument by its keyword, or by its position if it has none.
    pub(in crate::import) fn argument(&self, name: &str, position: Option<usize>) -> Option<&Argument> {
        let named = self.arguments.iter().find(|argument| argument.name.as_deref() == Some(name));
        named.or_else(|| {
            let argument = self.arguments.get(position?)?;
            argument.name.is_none().then_some(argument)
        })
    }

    /// Whether it has arguments that are not known: `**arguments`.
    pub(in crate::import) fn is_open(&self) -> bool {
        self.arguments.iter().any(|argument| argument.name.as_deref() == Some("**"))
    }
}
