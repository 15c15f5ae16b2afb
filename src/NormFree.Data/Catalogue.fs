namespace NormFree.Data

open System
open System.IO
open NormFree.Formats

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
          Synthetic = 6000, 1000
          Emnist = None
          ClassNames = None
          Folder = ImageFolder.defaults
          HeldOut = None }

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
          Augmentation = steps
          Notes = [] }

    let private cifarNormalisation kind =
        match kind with
        | Cifar.Ten -> Normalisation.cifar10
        | Cifar.HundredFine
        | Cifar.HundredCoarse -> Normalisation.cifar100

    let private cifar kind options splits =
        fixedSize (Cifar.downloadName kind) (Cifar.classes kind) (cifarNormalisation kind) Cifar.Side options splits

    /// An image folder with CIFAR's classes.
    let private cifarFolder kind options path =
        FolderDataset.openPath (Cifar.downloadName kind) options path
        |> Result.bind (fun dataset ->
            let expected = Cifar.classes kind

            if Set.ofArray dataset.Classes = Set.ofArray expected then
                Ok dataset
            else
                let problem = $"its {dataset.Classes.Length} classes are not those of {Cifar.downloadName kind}"
                Error [ DataError.create path problem "Open it as an image folder instead" ])

    /// One file of the binary or the python distribution.
    let private openCifarFile kind path =
        DataError.guard path (fun () -> Ok(Content.headOf path))
        |> Result.mapError List.singleton
        |> Result.bind (fun head ->
            match Content.ofHead head with
            | Content.Other("a Python pickle", _) -> CifarPython.readFile kind path
            | Content.Other(kind, remedy) -> Error [ DataError.create path $"it is {kind}" remedy ]
            | _ -> Cifar.readFile kind path)

    /// The binary distribution, the python distribution, or image folders.
    let private openCifarSet kind options path (set: FileSet) =
        if Cifar.isBinary kind set then
            Cifar.read kind set |> Result.map (cifar kind options)
        elif CifarMismatch.tryFind kind set |> Option.isSome then
            Error(Option.toList (CifarMismatch.tryFind kind set))
        elif CifarPython.isPython kind set then
            CifarPython.read kind set |> Result.map (cifar kind options)
        else
            cifarFolder kind options path

    let private openCifar kind options path =
        if ParquetImages.isParquet path then
            cifarFolder kind options path
        elif File.Exists path && not (Archive.isKnown path) then
            openCifarFile kind path |> Result.map (cifar kind options)
        else
            Archive.openWith FileSet.defaultLimits (fun _ -> true) path
            |> Result.mapError List.singleton
            |> Result.bind (openCifarSet kind options path)

    /// Images of 28×28 are padded with black to 32×32, all others are resized.
    let private idxDataset options (set, classNames, (train: ImageSource, test: ImageSource)) =
        let dataset =
            fixedSize (IdxSet.name set) classNames (IdxSet.normalisation set) Cifar.Side options (train, test)

        let is28 source =
            match source.Load 0 with
            | Ok image -> (image.Width, image.Height) = (28, 28)
            | Error _ -> false

        if is28 train && is28 test then
            { dataset with Augmentation = Augmentation.after (CentreCrop Cifar.Side) dataset.Augmentation }
        else
            { dataset with Augmentation = Augmentation.after (Resize dataset.Size) Augmentation.cifar }

    let private openIdx set options path =
        let names = options.ClassNames |> Option.map ClassNames.read

        match names with
        | Some(Error error) -> Error [ error ]
        | Some(Ok _)
        | None ->
            Archive.openWith FileSet.defaultLimits (fun _ -> true) path
            |> Result.mapError List.singleton
            |> Result.bind (IdxSetReader.read set (names |> Option.bind Result.toOption))
            |> Result.map (idxDataset options)

    let private openSynthetic options =
        let dataset = options.Synthetic ||> Synthetic.dataset options.Seed

        match options.Size with
        | Some size when size <> Synthetic.Side ->
            { dataset with Size = size; Augmentation = Augmentation.after (Resize size) dataset.Augmentation }
        | _ -> dataset

    let private idxFiles = "a folder or archive with the four IDX files, such as train-images-idx3-ubyte.gz"

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
            "a folder, .zip, .tar or .tar.gz with <class>/*.jpg, or with train/<class>/*.jpg and test/<class>/ (or val/), or Parquet files of images",
            "Give its path with --data"
        | Mnist -> idxFiles, "Download it with 'normfree data get mnist', or give its path with --data"
        | Emnist -> idxFiles, "Download it with 'normfree data get emnist', or give its path with --data"
        | FashionMnist ->
            idxFiles,
            "Download it with 'normfree data get fashion-mnist', or install Debian's package dataset-fashion-mnist"
        | Synthetic -> "nothing", "Omit --data"

    let private checkPath kind path =
        let expected, remedy = expectation kind

        match path with
        | None -> Error [ DataError.create "--data" $"a path is required: {expected}" remedy ]
        | Some path when Directory.Exists path -> Ok path
        | Some path when File.Exists path ->
            DataError.guard path (fun () ->
                PlainFile.RequireNoPipe(path, "Give a file or folder")
                Ok path)
            |> Result.mapError List.singleton
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
        | Mnist -> checkPath kind path |> Result.bind (openIdx IdxSet.Mnist options)
        | FashionMnist -> checkPath kind path |> Result.bind (openIdx IdxSet.FashionMnist options)
        | Emnist -> checkPath kind path |> Result.bind (openIdx (IdxSet.Emnist options.Emnist) options)
        | ImageFolder ->
            checkPath kind path
            |> Result.bind (fun path -> FolderDataset.openPath (DirectoryInfo(path).Name) options path)

    /// The names in a file replace those of the data set. IDX sets have them already.
    let private withNames kind options (dataset: Dataset) =
        match kind, options.ClassNames with
        | (Mnist | FashionMnist | Emnist), _
        | _, None -> Ok dataset
        | _, Some path ->
            ClassNames.read path
            |> Result.mapError List.singleton
            |> Result.bind (fun names -> ClassNames.rename path names dataset)

    /// The test images of a data set without any are those that a recipe holds out.
    let private withTest options (dataset: Dataset) =
        match options.HeldOut with
        | Some(fraction, seed) when dataset.Test.Count = 0 && fraction > 0.0 ->
            let kept, held = ImageSource.split fraction seed dataset.Train

            { dataset with
                Test = held
                Notes =
                    dataset.Notes
                    @ [ $"there are no labelled test images: the test accuracy is that of held-out images, {held.Count} of {dataset.Train.Count} training images \
                          ({100.0 * fraction:g3} %% of each class, chosen with seed {seed}), and {kept.Count} are trained on" ] }
        | _ -> dataset

    /// <summary>Opens a data set, or returns all errors.</summary>
    let load kind (path: string option) options : Result<Dataset, DataError list> =
        checkOptions options
        |> Result.bind (fun () -> openKind kind path options)
        |> Result.bind (withNames kind options)
        |> Result.map (fun dataset ->
            let limited =
                Dataset.limit (defaultArg options.Limit Int32.MaxValue) Int32.MaxValue options.Seed dataset

            withTest options limited
            |> Dataset.limit Int32.MaxValue (defaultArg options.TestLimit Int32.MaxValue) options.Seed)
