namespace NormFree.Data

open System
open System.IO
open System.Text.Json.Serialization

/// <summary>The data sets of the option <c>--dataset</c>.</summary>
type DatasetKind =
    | [<JsonPropertyName "cifar10">] Cifar10
    | [<JsonPropertyName "cifar100">] Cifar100
    | [<JsonPropertyName "folder">] ImageFolder
    | [<JsonPropertyName "fashion-mnist">] FashionMnist
    | [<JsonPropertyName "synthetic">] Synthetic

/// <summary>The labels of CIFAR-100: 100 fine or 20 coarse classes.</summary>
type LabelSet =
    | Fine
    | Coarse

/// <summary>Options for opening a data set.</summary>
type DatasetOptions =
    {
        /// Side of the network's input in pixels; None for the data set's default.
        Size: int option
        /// Maximum number of training images, balanced over the classes.
        Limit: int option
        /// Maximum number of test images, balanced over the classes.
        TestLimit: int option
        /// Seed of the balanced choice and of the synthetic data set.
        Seed: int64
        /// For CIFAR-100.
        Labels: LabelSet
        /// For image folders that are not 32×32.
        Lighting: LightingMode
        /// Numbers of training and test images of the synthetic data set.
        Synthetic: int * int
    }

/// <summary>Opens data sets by kind and path.</summary>
/// <example><code>
/// let options = { Catalogue.defaults with Limit = Some 10000 }
///
/// match Catalogue.load Cifar10 (Some "data/cifar-10-binary.tar.gz") options with
/// | Ok dataset -> printfn $"{dataset.Train.Count} images"
/// | Error errors -> for error in errors do eprintfn $"{error}"
/// </code></example>
module Catalogue =
    /// All images, at the data set's default size.
    let defaults =
        { Size = None
          Limit = None
          TestLimit = None
          Seed = 1L
          Labels = Fine
          Lighting = Corrected
          Synthetic = 6000, 1000 }

    let private cifarKind kind options =
        match kind, options.Labels with
        | Cifar100, Fine -> Cifar.HundredFine
        | Cifar100, Coarse -> Cifar.HundredCoarse
        | _ -> Cifar.Ten

    /// A data set whose images all have the side `native`. Another size adds a resize before the other steps.
    let private fixedSize name classes normalisation native options (train, test) =
        let size = defaultArg options.Size native

        let steps =
            if size = native then
                Augmentation.cifar
            else
                Augmentation.after (Resize size) Augmentation.cifar

        { Name = name
          Classes = classes
          Train = train
          Test = test
          Normalisation = normalisation
          Size = size
          Augmentation = steps }

    let private cifarNormalisation kind =
        match kind with
        | Cifar.Ten -> Normalisation.cifar10
        | Cifar.HundredFine
        | Cifar.HundredCoarse -> Normalisation.cifar100

    let private cifar kind options splits =
        fixedSize (Cifar.downloadName kind) (Cifar.classes kind) (cifarNormalisation kind) Cifar.Side options splits

    /// Images tried until one is readable.
    let private maxProbes = 64

    /// The side of the first readable image, if it is square.
    let private squareSide (source: ImageSource) =
        Seq.init (min maxProbes source.Count) source.Load
        |> Seq.tryPick Result.toOption
        |> Option.filter (fun image -> image.Width = image.Height)
        |> Option.map _.Width

    /// <summary>Image folders: 32×32 images use CIFAR's augmentation, all others ImageNet's (224 pixels).</summary>
    /// <remarks>The first readable image determines the size. An image of another size is reported when it is read.</remarks>
    let private folder name options (classes: string[], train, test) =
        match squareSide train with
        | Some Cifar.Side ->
            let normalisation =
                [ Cifar.Ten; Cifar.HundredFine; Cifar.HundredCoarse ]
                |> List.tryFind (fun kind -> Set.ofArray classes = Set.ofArray (Cifar.classes kind))
                |> Option.map cifarNormalisation
                |> Option.defaultValue Normalisation.imageNet

            fixedSize name classes normalisation Cifar.Side options (train, test)
        | _ ->
            let size = defaultArg options.Size 224

            { Name = name
              Classes = classes
              Train = train
              Test = test
              Normalisation = Normalisation.imageNet
              Size = size
              Augmentation = Augmentation.imageNet options.Lighting size }

    let private openFolder name options path =
        ImageFolder.openWith FileSet.defaultLimits path |> Result.map (folder name options)

    /// An image folder with CIFAR's classes.
    let private cifarFolder kind options path =
        openFolder (Cifar.downloadName kind) options path
        |> Result.bind (fun dataset ->
            let expected = Cifar.classes kind

            if Set.ofArray dataset.Classes = Set.ofArray expected then
                Ok dataset
            else
                let problem = $"its {dataset.Classes.Length} classes are not those of {Cifar.downloadName kind}"
                Error [ DataError.create path problem "Open it as an image folder instead" ])

    /// The binary distribution, the python distribution, or image folders.
    let private openCifar kind options path =
        if File.Exists path && not (Archive.isKnown path) then
            Cifar.readFile kind path |> Result.map (cifar kind options)
        else
            Archive.openWith FileSet.defaultLimits (fun _ -> true) path
            |> Result.mapError List.singleton
            |> Result.bind (fun set ->
                if Cifar.isBinary kind set then
                    Cifar.read kind set |> Result.map (cifar kind options)
                elif CifarPython.isPython kind set then
                    CifarPython.read kind set |> Result.map (cifar kind options)
                else
                    cifarFolder kind options path)

    /// 28×28 images, padded with black to 32×32.
    let private openFashion options path =
        Archive.openWith FileSet.defaultLimits (fun _ -> true) path
        |> Result.mapError List.singleton
        |> Result.bind FashionMnist.read
        |> Result.map (fun splits ->
            let dataset =
                fixedSize "fashion-mnist" FashionMnist.classes Normalisation.fashionMnist Cifar.Side options splits

            { dataset with Augmentation = Augmentation.after (CentreCrop Cifar.Side) dataset.Augmentation })

    let private openSynthetic options =
        let dataset = options.Synthetic ||> Synthetic.dataset options.Seed

        match options.Size with
        | Some size when size <> Synthetic.Side ->
            { dataset with Size = size; Augmentation = Augmentation.after (Resize size) dataset.Augmentation }
        | _ -> dataset

    /// The expected files, and how to get them.
    let private expectation kind =
        match kind with
        | Cifar10
        | Cifar100 ->
            let name, files =
                match kind with
                | Cifar100 -> "cifar100", "train.bin and test.bin (or train and test of the python version)"
                | _ -> "cifar10", "data_batch_1.bin … test_batch.bin (or data_batch_1 … of the python version)"

            $"a folder or archive with {files}, one .bin file, or train/<class>/*.jpg",
            $"Download it with 'normfree data get {name}'"
        | ImageFolder ->
            "a folder, .zip, .tar or .tar.gz with train/<class>/*.jpg and test/<class>/ (or val/)",
            "Give its path with --data"
        | FashionMnist ->
            "a folder or archive with the four IDX files, such as train-images-idx3-ubyte.gz",
            "Debian's package dataset-fashion-mnist installs it"
        | Synthetic -> "nothing", "Omit --data"

    let private checkPath kind path =
        let expected, remedy = expectation kind

        match path with
        | None -> Error [ DataError.create "--data" $"a path is required: {expected}" remedy ]
        | Some path when File.Exists path || Directory.Exists path -> Ok path
        | Some path -> Error [ DataError.create path $"there is no such file or folder; expected {expected}" remedy ]

    let private checkOptions options =
        let positive name value =
            match value with
            | Some value when value < 1 ->
                [ DataError.create name $"{value} is less than 1" "Give a positive number, or omit it" ]
            | _ -> []

        let errors =
            positive "--size" options.Size
            @ positive "--limit" options.Limit
            @ positive "--test-limit" options.TestLimit
            @ positive "training images of the synthetic data set" (Some(fst options.Synthetic))
            @ positive "test images of the synthetic data set" (Some(snd options.Synthetic))

        if errors.IsEmpty then Ok() else Error errors

    let private openKind kind path options =
        match kind with
        | Synthetic -> Ok(openSynthetic options)
        | Cifar10
        | Cifar100 -> checkPath kind path |> Result.bind (openCifar (cifarKind kind options) options)
        | FashionMnist -> checkPath kind path |> Result.bind (openFashion options)
        | ImageFolder ->
            checkPath kind path |> Result.bind (fun path -> openFolder (DirectoryInfo(path).Name) options path)

    /// <summary>Opens a data set, or returns all errors.</summary>
    let load kind (path: string option) options : Result<Dataset, DataError list> =
        checkOptions options
        |> Result.bind (fun () -> openKind kind path options)
        |> Result.map (
            Dataset.limit
                (defaultArg options.Limit Int32.MaxValue)
                (defaultArg options.TestLimit Int32.MaxValue)
                options.Seed
        )
