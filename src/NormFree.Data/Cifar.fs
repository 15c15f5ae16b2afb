/// <summary>CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 32×32 RGB images. Reads the binary distribution.</summary>
module NormFree.Data.Cifar

open System
open NormFree.Formats

/// The data set, and for CIFAR-100 which of its two labels.
type Kind =
    | Ten
    | HundredFine
    | HundredCoarse

/// Side of the images in pixels.
[<Literal>]
let Side = 32

/// Bytes per image: three planes.
[<Literal>]
let ImageBytes = 3072

let private split (text: string) = text.Split([| ' '; '\n' |], StringSplitOptions.RemoveEmptyEntries)

/// The names of the classes, by label.
let classes kind =
    match kind with
    | Ten -> split "airplane automobile bird cat deer dog frog horse ship truck"
    | HundredCoarse ->
        split
            "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
             household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes
             large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees
             vehicles_1 vehicles_2"
    | HundredFine ->
        split
            "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
             castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
             elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
             lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
             pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal
             shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank
             telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"

/// The data set's name for `normfree data get`.
let downloadName kind =
    match kind with
    | Ten -> "cifar10"
    | HundredFine
    | HundredCoarse -> "cifar100"

let remedy kind = $"Download the data set with 'normfree data get {downloadName kind}'"

/// A file's images. Image i starts at byte `First + i·Stride`.
type Records = { File: string; Bytes: ReadOnlyMemory<byte>; First: int; Stride: int; Labels: int[] }

/// Error if a label is not a class.
let checkLabels place kind (labels: int[]) =
    let count = (classes kind).Length

    match labels |> Array.tryFindIndex (fun label -> label < 0 || label >= count) with
    | Some i ->
        DataError.create
            $"{place} record {i}"
            $"its label is {labels[i]}, but there are {count} classes"
            $"The file is damaged or of another data set. {remedy kind}"
        |> Error
    | None -> Ok()

/// <summary>The records of one file: 1 byte of label (CIFAR-100: coarse, then fine), then 3072 bytes of planes.</summary>
let parse kind file (bytes: byte[]) =
    let labels, offset =
        match kind with
        | Ten -> 1, 0
        | HundredCoarse -> 2, 0
        | HundredFine -> 2, 1

    let stride = labels + ImageBytes

    if bytes.Length = 0 || bytes.Length % stride <> 0 then
        DataError.create
            file
            $"its {bytes.Length} bytes are not a multiple of the record size of {stride}"
            $"{DataError.downloadAgain}. {remedy kind}"
        |> Error
    else
        let records =
            { File = file
              Bytes = ReadOnlyMemory bytes
              First = labels
              Stride = stride
              Labels = Array.init (bytes.Length / stride) (fun i -> int bytes[i * stride + offset]) }

        checkLabels file kind records.Labels |> Result.map (fun () -> records)

/// <summary>The concatenated images of several files.</summary>
let source (files: Records list) : ImageSource =
    let records =
        files
        |> Seq.collect (fun file -> Seq.init file.Labels.Length (fun i -> struct (file, i)))
        |> Array.ofSeq

    { Count = records.Length
      Label =
        fun i ->
            let struct (file, record) = records[i]
            file.Labels[record]
      Name =
        fun i ->
            let struct (file, record) = records[i]
            $"{file.File} record {record}"
      Load =
        fun i ->
            let struct (file, record) = records[i]
            let start = file.First + record * file.Stride
            Ok(Image.ofPlanes Side Side (file.Bytes.Span.Slice(start, ImageBytes))) }

/// The files of the binary distribution: (training, test).
let private binaryFiles kind =
    match kind with
    | Ten -> [ for i in 1..5 -> $"data_batch_{i}.bin" ], "test_batch.bin"
    | HundredFine
    | HundredCoarse -> [ "train.bin" ], "test.bin"

/// The records of these files, or an error for each missing or invalid file.
let readFiles kind (set: FileSet) names parse =
    let read name =
        match FileSet.tryFind name set with
        | None -> Error(DataError.create set.Place $"it does not contain '{name}'" (remedy kind))
        | Some i ->
            let file = $"{set.Place}/{set.Files[i]}"
            set.Read i |> Result.bind (parse kind file)

    names |> List.map read |> DataError.collect

/// Both splits, or the errors of both.
let readSplits kind set (train: string list, test: string) parse =
    DataError.both (readFiles kind set train parse) (readFiles kind set [ test ] parse)
    |> Result.map (fun (train, test) -> source train, source test)

/// Whether a set contains any file of the binary distribution.
let isBinary kind set =
    let train, test = binaryFiles kind
    test :: train |> List.exists (fun name -> (FileSet.tryFind name set).IsSome)

/// <summary>Training and test images of the binary distribution.</summary>
let read kind set = readSplits kind set (binaryFiles kind) parse

/// <summary>Uses one file as both splits, to try a part of the data.</summary>
let readFile kind path =
    DataError.guard path (fun () -> parse kind path (PlainFile.ReadAllBytes(path, FileSet.defaultLimits.EntryBytes)))
    |> Result.map (fun records -> source [ records ], source [ records ])
    |> Result.mapError List.singleton
