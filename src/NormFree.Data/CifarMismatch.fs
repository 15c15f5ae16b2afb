/// <summary>Recognises other data sets given as CIFAR-10 or CIFAR-100.</summary>
module internal NormFree.Data.CifarMismatch

let private ten = "CIFAR-10", [ "data_batch_1"; "data_batch_1.bin" ], "Open it with --dataset cifar10"

let private hundred =
    "CIFAR-100", [ "fine_label_names.txt"; "train.bin" ], "Open it with --dataset cifar100"

let private holds (set: FileSet) names = names |> List.exists (fun name -> (FileSet.tryFind name set).IsSome)

/// The python version of CIFAR-100 has three files without extension.
let private isPythonHundred set =
    [ "train"; "test"; "meta" ] |> List.forall (fun name -> (FileSet.tryFind name set).IsSome)

let private endsWith (suffix: string) (set: FileSet) =
    set.Files
    |> Array.exists (fun path -> path.EndsWith(suffix, System.StringComparison.OrdinalIgnoreCase))

/// The true kind of a set that is opened as the kind, if it is known to be another one.
let tryFind kind (set: FileSet) : DataError option =
    let is (name, _, remedy) = Some(DataError.create set.Place $"it is {name}" remedy)
    let holdsAny (_, names, _) = holds set names

    match kind with
    | Cifar.Ten when holdsAny hundred || isPythonHundred set -> is hundred
    | Cifar.HundredFine
    | Cifar.HundredCoarse when holdsAny ten -> is ten
    | _ when endsWith ".mat" set ->
        DataError.create
            set.Place
            "it is the Matlab version of the data set, which is not supported"
            $"Use the binary or the Python version. {Cifar.remedy kind}"
        |> Some
    | _ -> None
