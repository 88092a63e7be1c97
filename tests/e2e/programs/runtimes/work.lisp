;; Threads, a mutex, code compiled as it runs, bignums, conditions, a collection.
(defvar *total* 0)
(defvar *lock* (sb-thread:make-mutex))
(let ((threads (loop for n from 1 to 4
                     collect (let ((n n))
                               (sb-thread:make-thread
                                (lambda () (dotimes (i 1000 n) (sb-thread:with-mutex (*lock*) (incf *total* n)))))))))
  (format t "~a ~a~%" (mapcar #'sb-thread:join-thread threads) *total*))
(defun digits (n) (loop with x = (expt 3 n) while (plusp x) sum (mod x 10) do (setf x (floor x 10))))
(compile 'digits)
(format t "~a~%" (digits 2000))
(format t "~a~%" (handler-case (/ 1 (- 1 1)) (division-by-zero () "divided by zero")))
(format t "~a~%" (handler-case (locally (declare (optimize safety)) (car (identity 7))) (type-error () "a type error")))
(let ((kept (loop for i below 200 collect (make-array 10000 :initial-element i))))
  (sb-ext:gc :full t)
  (format t "~a~%" (reduce #'+ (mapcar (lambda (a) (aref a 77)) kept))))
(sb-ext:exit :code 7)
