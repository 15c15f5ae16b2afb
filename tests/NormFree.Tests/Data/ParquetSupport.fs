/// Parquet files of images, as on the Hugging Face hub.
module NormFree.Tests.Data.ParquetSupport

open System
open System.Collections.Generic
open System.IO
open System.Threading.Tasks
open NormFree.Data
open NormFree.Tests.Data.Support
open Parquet
open Parquet.Schema

let picture i = png (noise (RandomStream.OfKeys(int64 i)) 40 40)

let hub names =
    let quoted = names |> List.map (fun name -> $"\"{name}\"") |> String.concat ","

    """{"info":{"features":{"image":{"_type":"Image"},"label":{"names":["""
    + quoted
    + """],"_type":"ClassLabel"}}}}"""

let column<'T> name = DataField(name, typeof<'T>, Nullable true, Nullable false, null)

/// A file of images, and what `write` adds to each of its two row groups from the rest of the rows.
let tableOf
    metadata
    (fields: Field list)
    (rows: (byte[] * 'rest) list)
    (write: ParquetRowGroupWriter -> 'rest list -> Task)
    =
    let bytes, path = column<byte[]> "bytes", column<string> "path"
    let schema = ParquetSchema((StructField("image", bytes, path) :> Field) :: fields)
    let buffer = new MemoryStream()

    let work =
        task {
            use! writer = ParquetWriter.CreateAsync(schema, buffer)

            match metadata with
            | Some text -> writer.CustomMetadata <- Dictionary(dict [ "huggingface", text ])
            | None -> ()

            for part in List.splitInto 2 rows do
                use group = writer.CreateRowGroup()
                do! group.WriteAsync(bytes, [| for image, _ in part -> image |])
                do! group.WriteAsync(path, [| for _ in part -> "x.png" |])
                do! write group (List.map snd part)
        }

    work.GetAwaiter().GetResult()
    buffer.ToArray()

/// A file of images and labels in two row groups.
let table (metadata: string option) (rows: (byte[] * int64) list) =
    let label = column<int64> "label"

    tableOf metadata [ label :> Field ] rows (fun group labels ->
        group.WriteAsync<int64>(label, ReadOnlyMemory [| for label in labels -> Nullable label |]))

/// The same with names of classes, of which null is none.
let namedTable (rows: (byte[] * string) list) =
    let label = column<string> "label"
    tableOf None [ label :> Field ] rows (fun group labels -> group.WriteAsync(label, List.toArray labels))

/// The same without labels.
let unlabelledTable images = tableOf None [] [ for image in images -> image, () ] (fun _ _ -> Task.CompletedTask)

/// The same with labels of another type.
let typedTable<'T when 'T: struct and 'T: (new: unit -> 'T) and 'T :> ValueType> (toLabel: int -> 'T) rows =
    let label = DataField<'T>("label")

    tableOf None [ label :> Field ] rows (fun group labels ->
        group.WriteAsync<'T>(label, ReadOnlyMemory [| for label in labels -> toLabel label |]))

let rows first count = [ for i in first .. first + count - 1 -> picture i, int64 (i % 2) ]
let animals = Some(hub [ "cat"; "dog" ])

let inFolder files run =
    use folder = new TempFolder()

    for name: string, bytes: byte[] in files do
        folder.Write("set/" + name, bytes) |> ignore

    run (folder.File "set")

let loadWith options files = inFolder files (fun path -> Catalogue.load ImageFolder (Some path) options)
let load files = loadWith Catalogue.defaults files

let shards =
    lazy
        [ "data/train-00000-of-00002.parquet", table animals (rows 0 4)
          "data/train-00001-of-00002.parquet", table animals (rows 4 3)
          "data/test-00000-of-00001.parquet", table animals (rows 20 2)
          "README.md", "x"B ]

let loadFolder folder = loadWith { Catalogue.defaults with Folder = folder }
let notes (dataset: Dataset) = String.concat "\n" dataset.Notes
