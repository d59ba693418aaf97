! Energy and forces of a molecule by a library that `symnets export` has written.
!
!     symnets export MODEL -o libmodel.so
!     gfortran energy.f90 $(symnets export libmodel.so --flags) -o energy
!     ./energy < molecule.txt
!
! The input has a line for each atom: its atomic number and its position in angstrom. The output has the
! energy in eV, then a line for each atom with its force in eV/angstrom. The molecule is not periodic.

module symnets
  use, intrinsic :: iso_c_binding
  implicit none

  interface
    integer(c_int64_t) function symnets_abi_version() bind(c)
      import :: c_int64_t
    end function

    real(c_double) function symnets_cutoff() bind(c)
      import :: c_double
    end function

    type(c_ptr) function symnets_new(error) bind(c)
      import :: c_int64_t, c_ptr
      integer(c_int64_t), intent(out) :: error
    end function

    subroutine symnets_free(model) bind(c)
      import :: c_ptr
      type(c_ptr), value :: model
    end subroutine

    ! Atoms count from 0 in sender and receiver. The last three arguments are for ghosts, see symnets.h.
    integer(c_int64_t) function symnets_compute(model, n_own, n_total, atomic_numbers, n_edges, sender, &
        receiver, vectors, energies, forces, virials, forward, reverse, context) bind(c)
      import :: c_double, c_funptr, c_int64_t, c_ptr
      type(c_ptr), value :: model, context
      integer(c_int64_t), value :: n_own, n_total, n_edges
      integer(c_int64_t), intent(in) :: atomic_numbers(*), sender(*), receiver(*)
      real(c_double), intent(in) :: vectors(3, *)
      real(c_double), intent(out) :: energies(*), forces(3, *), virials(3, 3, *)
      type(c_funptr), value :: forward, reverse
    end function

    type(c_ptr) function symnets_error(code) bind(c)
      import :: c_int64_t, c_ptr
      integer(c_int64_t), value :: code
    end function
  end interface
end module

program energy
  use symnets
  implicit none
  integer, parameter :: most_atoms = 1000
  integer(c_int64_t) :: numbers(most_atoms), n, n_edges, i, j, error
  integer(c_int64_t), allocatable :: sender(:), receiver(:)
  real(c_double) :: positions(3, most_atoms), difference(3)
  real(c_double), allocatable :: vectors(:, :), energies(:), forces(:, :), virials(:, :, :)
  type(c_ptr) :: model
  integer :: status

  if (symnets_abi_version() /= 1) error stop "the library has another version; export it again"
  n = 0
  do while (n < most_atoms)
    read (*, *, iostat=status) numbers(n + 1), positions(:, n + 1)
    if (status /= 0) exit
    n = n + 1
  end do
  if (n == most_atoms .or. status > 0) error stop "expected lines of an atomic number and three coordinates"

  ! All pairs within the cutoff, in both directions, sorted by receiver; large structures need cell lists.
  allocate (sender(n * n), receiver(n * n), vectors(3, n * n), energies(n), forces(3, n), virials(3, 3, n))
  n_edges = 0
  do i = 1, n
    do j = 1, n
      difference = positions(:, j) - positions(:, i)
      if (i == j .or. sum(difference**2) >= symnets_cutoff()**2) cycle
      n_edges = n_edges + 1
      receiver(n_edges) = i - 1
      sender(n_edges) = j - 1
      vectors(:, n_edges) = difference
    end do
  end do

  model = symnets_new(error)
  call check(error)
  error = symnets_compute(model, n, n, numbers, n_edges, sender, receiver, vectors, energies, forces, &
    virials, c_null_funptr, c_null_funptr, c_null_ptr)
  call check(error)
  print "(f20.12)", sum(energies)
  print "(3f20.12)", forces
  call symnets_free(model)

contains

  subroutine check(code)
    integer(c_int64_t), intent(in) :: code
    character(kind=c_char), pointer :: text(:)
    integer :: k
    if (code == 0) return
    call c_f_pointer(symnets_error(code), text, [200])
    do k = 1, 200
      if (text(k) == c_null_char) exit
      write (*, "(a)", advance="no") text(k)
    end do
    print *
    stop 1
  end subroutine
end program
