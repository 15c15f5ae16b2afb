/// Pickles of all protocols, and what they hold.
module NormFree.Tests.Archives.PickleFixtures

open System
open System.IO
open System.Numerics
open System.Text
open Expecto
open NormFree.Archives.Pickle

let fixture name = File.ReadAllBytes(Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "fixtures", "pickle", name))

let both = PickleGlobals.Numpy.With PickleGlobals.PyTorch

let readWith limits (bytes: byte[]) = PickleReader.Read(new MemoryStream(bytes), "damaged", limits, both)

let read = readWith PickleLimits.Default

let items (value: PickleValue | null) =
    match value with
    | null -> failtest "no such entry"
    | value ->
        match value.AsItems() with
        | null -> failtestf "%O has no items" value
        | items -> List.ofSeq items

let textOf (value: PickleValue) = string (value.AsText())

let numberOf (value: PickleValue) =
    match value with
    | :? PickleInt as number -> number.Value
    | value -> failtestf "%O is no number" value

let realOf (value: PickleValue) =
    match value with
    | :? PickleFloat as number -> number.Value
    | value -> failtestf "%O is no float" value

let expectPlain (root: PickleValue) =
    Expect.isTrue (root.Find "none" :? PickleNone) "none"
    Expect.equal (root.Find "truth" |> items |> List.map _.AsInt64()) [ Nullable 1L; Nullable 0L ] "truth"

    Expect.equal
        (root.Find "whole" |> items |> List.map numberOf)
        ([ 0L; 1L; 255L; 256L; 65535L; 65536L; -1L; 2147483647L; -2147483648L; 1L <<< 40 ]
         |> List.map BigInteger
         |> fun small -> small @ [ -BigInteger.Pow(2I, 70); BigInteger.Pow(2I, 1000) ])
        "whole"

    let reals = root.Find "real" |> items |> List.map realOf
    Expect.equal (List.take 4 reals) [ 0.5; -1e300; Double.PositiveInfinity; Double.NegativeInfinity ] "real"
    Expect.isTrue (Double.IsNaN reals[4]) "nan"

    Expect.equal
        (root.Find "text" |> items |> List.map textOf)
        [ ""; "plain"; "tab\tline\nback\\slash"; "Grüße"; "日本"; "😀"; "\\u0041" ]
        "text"

    let nested = root.Find "nested" |> items
    Expect.equal (nested |> List.take 5 |> List.map (items >> List.length)) [ 0..4 ] "tuples"
    let inner = nested[6].Find "a" |> Option.ofObj |> Option.bind (fun a -> a.Find "b" |> Option.ofObj)
    Expect.equal (inner |> Option.toObj |> items |> List.map textOf) [ "c" ] "dictionaries"
    let shared = root.Find "shared" |> items
    Expect.isTrue (shared |> List.forall (fun value -> obj.ReferenceEquals(value, shared[0]))) "shared"

let array (root: PickleValue) name = NumpyArray.From(root.Find name, "damaged", name)

let expectArrays (root: PickleValue) =
    let data = array root "data"
    Expect.equal (data.ElementType, List.ofSeq data.Shape) ("u1", [ 2L; 12L ]) "data"
    Expect.equal (data.Bytes.ToArray()) (Array.init 24 (fun i -> byte (i + 120))) "bytes"
    let columns = array root "columns"
    Expect.equal (columns.ElementType, List.ofSeq columns.Shape) ("i2", [ 2L; 3L; 4L ]) "columns"

    Expect.equal
        (columns.Bytes.ToArray())
        (Array.init 24 int16 |> Array.collect (fun (value: int16) -> BitConverter.GetBytes value))
        "row-major"

    Expect.equal (NumpyArray.Integers(root.Find "labels", "damaged", "labels")) [| 3L; -1L; 1L <<< 40 |] "labels"
    Expect.equal (NumpyArray.Integers(root.Find "list", "damaged", "list")) [| 5L; 0L; 9L |] "list"
    Expect.equal (List.ofSeq (array root "empty").Shape) [ 0L; 3L ] "empty"
    let real = array root "real"

    Expect.equal
        (real.ElementType, real.Bytes.ToArray())
        ("f4", Array.collect (fun (value: float32) -> BitConverter.GetBytes value) [| 0.5f; -2.0f |])
        "real"

let latin1 (text: string) = Encoding.Latin1.GetBytes text
