/// <summary>Reads CIFAR's python distribution: pickles with an array <c>data</c> of N×3072 bytes and a list of labels.</summary>
/// <remarks>NormFree.Archives reads the pickles as data and never executes them.</remarks>
module NormFree.Data.CifarPython

open System.IO
open NormFree.Formats
open NormFree.Archives.Pickle

/// The files of the distribution: (training, test).
let private files kind =
    match kind with
    | Cifar.Ten -> [ for i in 1..5 -> $"data_batch_{i}" ], "test_batch"
    | Cifar.HundredFine
    | Cifar.HundredCoarse -> [ "train" ], "test"

let private labelsKey kind =
    match kind with
    | Cifar.Ten -> "labels"
    | Cifar.HundredFine -> "fine_labels"
    | Cifar.HundredCoarse -> "coarse_labels"

let private records kind file (bytes: byte[]) : Cifar.Records =
    use stream = new MemoryStream(bytes)
    let batch = PickleReader.Read(stream, file, PickleLimits.Default, PickleGlobals.Numpy)
    let data = NumpyArray.From(batch.Find "data", file, "data")
    let key = labelsKey kind
    let labels = NumpyArray.Integers(batch.Find key, file, key)

    if data.ElementType <> "u1" || data.Shape.Count <> 2 || data.Shape[1] <> int64 Cifar.ImageBytes then
        let shape = data.Shape |> Seq.map string |> String.concat "×"

        raise (
            InvalidFileException(
                file,
                "data",
                $"it has shape {shape} and type {data.ElementType} instead of N×3072 and u1",
                Cifar.remedy kind
            )
        )

    if int64 labels.Length <> data.Shape[0] then
        let problem = $"{labels.Length} labels for {data.Shape[0]} images"
        raise (InvalidFileException(file, key, problem, Cifar.remedy kind))

    { File = file
      Bytes = data.Bytes
      First = 0
      Stride = Cifar.ImageBytes
      // A label outside the range of int is not a class.
      Labels = labels |> Array.map (fun label -> if label = int64 (int label) then int label else -1) }

/// <summary>The records of one file.</summary>
let parse kind file bytes =
    try
        let records = records kind file bytes
        Cifar.checkLabels file kind records.Labels |> Result.map (fun () -> records)
    with :? InvalidFileException as error ->
        Error(DataError.create $"{file}, {error.Where}" error.What error.Remedy)

/// The name of a file in the set, which may have an extension of pickles.
let private tryFind set name =
    [ name; $"{name}.pkl"; $"{name}.pickle" ]
    |> List.tryFind (fun name -> (FileSet.tryFind name set).IsSome)

/// Whether a set contains any file of the python distribution.
let isPython kind set =
    let train, test = files kind
    test :: train |> List.exists (fun name -> (tryFind set name).IsSome)

/// <summary>Training and test images of the python distribution.</summary>
let read kind set =
    let train, test = files kind
    let present name = tryFind set name |> Option.defaultValue name
    Cifar.readSplits kind set (List.map present train, present test) parse

/// <summary>Uses one file as both splits, to try a part of the data.</summary>
let readFile kind path =
    DataError.guard path (fun () -> parse kind path (PlainFile.ReadAllBytes(path, FileSet.defaultLimits.EntryBytes)))
    |> Result.map (fun records -> Cifar.source [ records ], Cifar.source [ records ])
    |> Result.mapError List.singleton
